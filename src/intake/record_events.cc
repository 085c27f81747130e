#include "intake/record_events.h"

#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "events/http_outcome.h"
#include "events/redactor.h"
#include "intake/few_bytes.h"
#include "intake/find_byte.h"
#include "intake/model_name.h"

namespace leadsman::intake {
namespace {

constexpr size_t kMaxPathShown = 200;

/// All that an event of a record may have had before, but for what Make sets in any case.
void Reset(PredictionEvent& event) {
  event.observed = true;
  event.outcome = StatusCode::kOk;
  event.features = {};
  event.feature_weight = 1;
  event.predicted = {};
  event.answer = AnswerKind::kUnknown;
  event.score = -1;
  event.score_of = ScoreOf::kNothing;
  event.row_scores = {};
  event.class_scores = {};
  event.labels = {};
}

/// Of the counters' own thread. Relaxed: nothing is told by a counter but itself.
void CountOne(SourceCounters::Counter& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void SetOutcome(const LogRecord& record, PredictionEvent& event) {
  const Outcome outcome = record.outcome();
  event.outcome_known = outcome != Outcome::kUnknown;
  if (outcome == Outcome::kClientGone) {
    event.outcome = StatusCode::kCancelled;
  } else if (outcome == Outcome::kClientError || outcome == Outcome::kServerError) {
    event.outcome = record.grpc_status ? static_cast<StatusCode>(*record.grpc_status)
                                       : OutcomeOfHttp(record.status.value_or(0));
  }
}

int64_t VersionOf(std::string_view text) {
  if (text.empty()) return 0;
  if (text.size() == 1 && text[0] >= '0' && text[0] <= '9') return text[0] - '0';
  return std::max<int64_t>(ParseInt64(text).value_or(0), 0);
}

size_t SlotOf(std::string_view model, int64_t version) {
  if (model.empty()) return 0;
  return model.size() * 7 + static_cast<unsigned char>(model.front()) * 3 +
         static_cast<unsigned char>(model.back()) + static_cast<size_t>(version) * 5;
}

uint32_t Bytes(std::optional<uint64_t> bytes) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(bytes.value_or(0), std::numeric_limits<uint32_t>::max()));
}

}  // namespace

Protocol ProtocolOfPath(std::string_view path) {
  if (path.starts_with("/v1/models/")) return Protocol::kTfServingRest;
  if (path.starts_with("/v2/models/")) return Protocol::kV2Rest;
  if (path.starts_with("/inference.")) return Protocol::kV2Grpc;
  if (path.starts_with("/tensorflow.serving.")) return Protocol::kTfServingGrpc;
  if (path.find("/v2/models/") != std::string_view::npos) return Protocol::kV2Rest;
  if (path.find("/v1/models/") != std::string_view::npos) return Protocol::kTfServingRest;
  if (path.ends_with("/invocations")) return Protocol::kMlflow;
  if (path.ends_with("/predict")) return Protocol::kPlain;
  return Protocol::kUnknown;
}

RecordEvents::RecordEvents(Deps deps, const LogSource& source)
    : deps_(std::move(deps)),
      default_model_(source.model.empty() ? kDefaultModel : source.model),
      payload_(deps_.sink) {
  for (const std::string& path : source.prediction_paths) {
    if (path.ends_with('*')) {
      prefixes_.push_back(path.substr(0, path.size() - 1));
    } else {
      paths_.push_back(path);
    }
  }
}

bool RecordEvents::IsPrediction(const LogRecord& record) const {
  if (record.inference) return true;
  // A program that logs its predictions need not say by which path they came. Where others say it, a request without one is
  // what port scanners send.
  if (record.path.empty())
    return record.pathless || !record.predicted.empty() || !record.features.empty() || record.score;
  return std::find(paths_.begin(), paths_.end(), record.path) != paths_.end() ||
         std::any_of(prefixes_.begin(), prefixes_.end(),
                     [&](const std::string& prefix) { return record.path.starts_with(prefix); });
}

void RecordEvents::CountOther(const LogRecord& record) {
  ++deps_.counters.other_requests;
  const bool get = !record.method.empty() && record.method != "POST";
  if (get || record.path.empty() || record.path.size() > kMaxPathShown) return;
  std::string scratch;
  std::string_view path = record.path;
  if (deps_.redactor != nullptr) path = deps_.redactor->Apply(RequestText::kPath, path, scratch);
  if (path.empty()) return;
  MutexLock lock(mutex_);
  auto known = other_paths_.find(path);
  if (known != other_paths_.end()) {
    ++known->second;
  } else if (other_paths_.size() < kMaxOtherPaths) {
    other_paths_.emplace(path, 1);
  }
}

std::map<std::string, uint64_t> RecordEvents::other_paths() const {
  MutexLock lock(mutex_);
  return {other_paths_.begin(), other_paths_.end()};
}

bool RecordEvents::NameModel(const LogRecord& record, PredictionEvent& event) {
  event.model = record.model.empty() ? std::string_view(default_model_) : record.model;
  const char* const name = record.model.data();
  if (FindByte(name, name + record.model.size(), '%') != nullptr) {
    if (auto plain = UrlDecode(event.model)) {
      decoded_ = std::move(*plain);
      event.model = decoded_;
    }
  }
  event.version = VersionOf(record.version);
  auto& lately = seen_lately_[SlotOf(event.model, event.version) % seen_lately_.size()];
  if (lately.second == event.version && SameText(lately.first, event.model) &&
      !lately.first.empty())
    return true;
  auto known = seen_.find(event.model);
  if (known != seen_.end() && known->second.contains(event.version)) {
    lately = {known->first, event.version};
    return true;
  }
  if (event.outcome_known && event.outcome == StatusCode::kNotFound) return false;
  if (seen_count_ == kMaxModels || !IsModelName(event.model)) {
    event.model = kOtherModels;
    event.version = 0;
    return true;
  }
  if (known == seen_.end()) known = seen_.try_emplace(std::string(event.model)).first;
  known->second.insert(event.version);
  ++seen_count_;
  return true;
}

RecordEvents::Offered RecordEvents::Make(const LogRecord& record) {
  if (!IsPrediction(record)) {
    CountOther(record);
    return Offered::kNoPrediction;
  }
  PredictionEvent& event = event_;
  Reset(event);
  SetOutcome(record, event);
  if (!NameModel(record, event)) {
    ++deps_.counters.unknown_model;
    return Offered::kUnknownModel;
  }
  event.protocol = ProtocolOfPath(record.path);
  event.unix_ms = record.unix_ns ? *record.unix_ns / 1'000'000 : UnixMillis(deps_.clock.Now());
  event.latency_known = record.latency_ns.has_value();
  event.latency_ns = static_cast<uint64_t>(record.latency_ns.value_or(0));
  event.request_bytes = Bytes(record.request_bytes);
  event.response_bytes = Bytes(record.response_bytes);
  event.request_id = record.request_id;
  event.rows = record.rows.value_or(0);
  payload_.Fill(record, event);
  return Offered::kTaken;
}

void RecordEvents::CountPrediction() {
  CountOne(deps_.counters.predictions);
  if (payload_.met_unknown_segment()) ++deps_.counters.unknown_segments;
}

void RecordEvents::OnRequest(const LogRecord& record) {
  if (Make(record) != Offered::kTaken) return;
  CountPrediction();
  while (!deps_.sink.TryEmit(event_)) {
    if (deps_.wait()) continue;
    deps_.sink.Emit(event_);  // counts what cannot be taken
    return;
  }
}

RecordEvents::Offered RecordEvents::Offer(const LogRecord& record) {
  Offered made = Make(record);
  if (made != Offered::kTaken) return made;
  if (!deps_.sink.TryEmit(event_)) return Offered::kNoRoom;
  CountPrediction();
  return Offered::kTaken;
}

void RecordEvents::OnError(const ErrorEvent&) { ++deps_.counters.errors; }

}  // namespace leadsman::intake
