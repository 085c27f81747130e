#include "intake/cloud_event_intake.h"

#include <pthread.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <list>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/mutex.h"
#include "base/strings.h"
#include "intake/event_feed.h"
#include "intake/log_time.h"
#include "intake/payload.h"
#include "intake/recent_ids.h"

namespace leadsman::intake {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;
using namespace std::chrono_literals;

constexpr size_t kMaxId = 255;  // of what is kept for labels
constexpr size_t kMaxVersion = 32;
constexpr size_t kHalfItself = 256;  // what lists and tables take beside a half's own bytes
constexpr int64_t kLongestCall = std::chrono::nanoseconds(24h).count();  // more is a wrong clock
constexpr std::chrono::milliseconds kTick = 250ms;
constexpr std::chrono::milliseconds kRoomWait = 1ms;
constexpr std::chrono::seconds kLastWait = 5s;

/// What came with one HTTP request, on its way from the I/O thread to ours.
struct Queued {
  Queued(const CloudEvent& event, bool whole_events) : copy(event), structured(whole_events) {}
  const CloudEventCopy copy;
  const bool structured;  ///< the data is one or more whole events

  size_t bytes() const { return sizeof(Queued) + copy.bytes(); }
};

/// What is known of a call from one or both of its events.
struct Call {
  std::string model, version, request_id;
  bool has_request = false;
  bool has_response = false;
  std::optional<int64_t> request_ns, response_ns;  ///< the events' own times
  SteadyTime arrived{};
  std::optional<uint32_t> rows;
  std::vector<float> features;
  std::vector<std::string> names;
  bool features_cut = false;
  std::vector<std::string> predictions;
  std::optional<float> score;
  ScoreOf score_of = ScoreOf::kNothing;
  std::vector<float> row_scores;
  uint32_t scored_classes = 0;
  std::vector<float> class_scores;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;

  size_t bytes() const {
    size_t sum = sizeof(Call) + model.size() +
                 (features.size() + row_scores.size() + class_scores.size()) * sizeof(float);
    for (const std::string& name : names) sum += sizeof(std::string) + name.size();
    for (const std::string& text : predictions) sum += sizeof(std::string) + text.size();
    return sum;
  }
};

enum class Undecodable : uint8_t { kEvent, kBody, kEmpty };
constexpr std::array<std::string_view, 3> kUndecodableNames = {"event", "body", "empty"};

/// JSON whatever the content type says: KServe's agent gives an answer the type of its request.
std::string_view TypeOfBody(std::string_view body, std::string_view content_type) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
  return json ? std::string_view() : content_type;
}

}  // namespace

struct CloudEventIntake::Impl {
  using Counter = std::atomic<uint64_t>;
  struct Half {
    std::string key;
    Call call;
    size_t bytes = 0;  ///< as it was counted when it began to wait
  };
  using Waiting = std::list<Half>;  ///< the oldest first

  Impl(Deps d, Options o)
      : deps(std::move(d)),
        options(o),
        feed(deps.clock, deps.sink, counters),
        done({o.max_remembered, o.remember}) {
    AddMetrics();
  }

  void AddMetrics() {
    auto sample = [](std::vector<std::string> labels, const Counter& counter) {
      MetricSample s;
      s.label_values = std::move(labels);
      s.value = static_cast<double>(counter.load());
      return s;
    };
    auto add = [&](const char* name, const char* help, std::vector<std::string> labels,
                   Registry::Reader read, MetricType type = MetricType::kCounter) {
      registrations.push_back(
          deps.registry.Add({name, help, type, std::move(labels)}, std::move(read)));
    };
    add("leadsman_intake_cloudevents_received_total",
        "CloudEvents that came, by what they tell of.", {"kind"}, [this, sample] {
          std::vector<MetricSample> samples;
          for (size_t i = 0; i < kCloudEventKinds; ++i)
            samples.push_back(sample(
                {std::string(CloudEventKindName(static_cast<CloudEventKind>(i)))}, received[i]));
          return samples;
        });
    add("leadsman_intake_cloudevents_joined_total", "Calls whose request and response both came.",
        {}, [this, sample] { return std::vector<MetricSample>{sample({}, joined)}; });
    add("leadsman_intake_cloudevents_unmatched_total",
        "Halves of calls whose other half did not come in time, or which had to make room.",
        {"kind"}, [this, sample] {
          return std::vector<MetricSample>{sample({"request"}, unmatched_requests),
                                           sample({"response"}, unmatched_responses)};
        });
    add("leadsman_intake_cloudevents_repeated_total",
        "Events that came again while their call was waiting for its other half.", {},
        [this, sample] { return std::vector<MetricSample>{sample({}, repeated)}; });
    add("leadsman_intake_cloudevents_dropped_total",
        "HTTP requests with CloudEvents that were answered 503 because the queue was full.", {},
        [this, sample] { return std::vector<MetricSample>{sample({}, dropped)}; });
    add("leadsman_intake_cloudevents_labels_lost_total",
        "Labels of Seldon's feedback that the monitor had no room for before the process ended.",
        {}, [this, sample] { return std::vector<MetricSample>{sample({}, labels_lost)}; });
    add("leadsman_intake_cloudevents_undecodable_total",
        "What could not be read: event = no CloudEvent, or none in the body; body = inputs or "
        "predictions of no known form; empty = an event without data.",
        {"reason"}, [this, sample] {
          std::vector<MetricSample> samples;
          for (size_t i = 0; i < undecodable.size(); ++i)
            samples.push_back(sample({std::string(kUndecodableNames[i])}, undecodable[i]));
          return samples;
        });
    add(
        "leadsman_intake_cloudevents_waiting", "Halves of calls that wait for their other half.",
        {}, [this, sample] { return std::vector<MetricSample>{sample({}, waiting_now)}; },
        MetricType::kGauge);
  }

  Status Offer(const HeaderOf& header, std::string_view body) {
    const bool structured = IsStructuredCloudEvent(header("content-type"));
    CloudEvent event;
    if (structured) {
      event.data = body;
    } else {
      Result<CloudEvent> read = CloudEventOfHeaders(header, body);
      if (!read.ok()) {
        Count(Undecodable::kEvent);
        return read.status();
      }
      event = *read;
    }
    auto item = std::make_unique<Queued>(event, structured);
    const size_t bytes = item->bytes();
    MutexLock lock(mutex);
    if (queued_bytes + bytes > options.max_queue_bytes) {
      ++dropped;
      return UnavailableError(
          "too many CloudEvents are waiting to be read; send it again in a second");
    }
    queued_bytes += bytes;
    queue.push_back(std::move(item));
    changed.NotifyAll();
    return OkStatus();
  }

  void Count(Undecodable reason) { ++undecodable[static_cast<size_t>(reason)]; }
  uint64_t CountOf(Undecodable reason) const { return undecodable[static_cast<size_t>(reason)]; }

  Losses losses() const {
    Losses losses;
    for (const Counter& kind : received) losses.events += kind;
    losses.dropped = dropped;
    losses.unreadable = CountOf(Undecodable::kEvent);
    losses.bodies = CountOf(Undecodable::kBody) + CountOf(Undecodable::kEmpty);
    losses.labels = labels;
    losses.labels_lost = labels_lost;
    return losses;
  }

  // ---- All below is of the one thread.

  void TakeQueued(const Queued& item) {
    if (!item.structured) return Take(item.copy.event());
    const bool read = reader.Read(item.copy.event().data, [this](const CloudEvent* event) {
      if (event == nullptr) {
        Count(Undecodable::kEvent);
      } else {
        Take(*event);
      }
    });
    if (!read) Count(Undecodable::kEvent);
  }

  void Take(const CloudEvent& event) {
    ++counters.lines;
    counters.last_line_ms = UnixMillis(deps.clock.Now());
    const CloudEventKind kind = event.kind();
    ++received[static_cast<size_t>(kind)];
    if (kind == CloudEventKind::kFeedback) return TakeFeedback(event);
    if (kind != CloudEventKind::kRequest && kind != CloudEventKind::kResponse) return;
    // A transformer and its predictor may hand the same id on.
    const std::string key = StrCat(event.space, "\n", event.model, "\n", event.component, "\n",
                                   event.endpoint, "\n", event.call_id());
    const uint64_t done_key = RecentIds::KeyOf({key});
    auto found = by_key.find(key);
    if (found != by_key.end()) {
      Call& call = found->second->call;
      if (kind == CloudEventKind::kRequest ? call.has_request : call.has_response) {
        ++repeated;
        return;
      }
      Fill(event, kind, call);
      ++joined;
      Give(call);
      Remove(found->second);
      done.Add(done_key, deps.clock.SteadyNow());
      return;
    }
    if (done.Contains(done_key, deps.clock.SteadyNow())) {
      ++repeated;
      return;
    }
    Half half{.key = key, .call = {}};
    half.call.arrived = deps.clock.SteadyNow();
    Fill(event, kind, half.call);
    half.bytes = kHalfItself + 2 * key.size() + half.call.bytes();
    waiting_bytes += half.bytes;
    waiting.push_back(std::move(half));
    by_key.emplace(key, std::prev(waiting.end()));
    while (waiting.size() > options.max_waiting || waiting_bytes > options.max_waiting_bytes)
      GiveUpOldest();
    waiting_now = waiting.size();
  }

  void Fill(const CloudEvent& event, CloudEventKind kind, Call& call) {
    if (call.model.empty()) call.model = event.model;
    if (call.request_id.empty() && event.call_id().size() <= kMaxId)
      call.request_id = event.call_id();
    std::optional<int64_t> at = event.time.empty() ? std::nullopt : times.Parse(event.time);
    const std::string_view type = TypeOfBody(event.data, event.content_type);
    if (event.data.empty()) Count(Undecodable::kEmpty);
    if (kind == CloudEventKind::kRequest) {
      call.has_request = true;
      call.request_ns = at;
      call.request_bytes = event.data.size();
      FillInputs(event.data, type, call);
    } else {
      call.has_response = true;
      call.response_ns = at;
      call.response_bytes = event.data.size();
      FillOutputs(event.data, type, call);
    }
  }
  void FillInputs(std::string_view body, std::string_view type, Call& call) {
    if (body.empty()) return;
    std::optional<PayloadInputs> inputs = payload.ReadInputs(body, type);
    if (!inputs) return Count(Undecodable::kBody);
    call.rows = inputs->rows;
    call.features.assign(inputs->features.begin(), inputs->features.end());
    call.names.assign(inputs->names.begin(), inputs->names.end());
    call.features_cut = inputs->cut;
  }
  void FillOutputs(std::string_view body, std::string_view type, Call& call) {
    if (body.empty()) return;
    std::optional<PayloadOutputs> outputs = payload.ReadOutputs(body, type);
    if (!outputs) return Count(Undecodable::kBody);
    if (!call.rows) call.rows = outputs->rows;
    call.predictions.assign(outputs->predicted.begin(), outputs->predicted.end());
    call.score = outputs->score;
    call.score_of = outputs->score_of;
    call.row_scores.assign(outputs->row_scores.begin(), outputs->row_scores.end());
    call.scored_classes = outputs->class_scores.classes;
    call.class_scores.assign(outputs->class_scores.values.begin(),
                             outputs->class_scores.values.end());
    // Of the Open Inference Protocol; other answers name none.
    dom::element root;
    std::string_view version;
    if (type.empty() && body.find("\"model_version\"") != std::string_view::npos &&
        parser.parse(body.data(), body.size()).get(root) == SUCCESS &&
        root["model_version"].get_string().get(version) == SUCCESS && version.size() <= kMaxVersion)
      call.version = version;
  }

  /// Both halves, or what has come of them.
  void Give(const Call& call) {
    LogRecord record;
    record.inference = true;
    record.model = call.model;
    record.version = call.version;
    record.request_id = call.request_id;
    // KServe's agent sends an answer only when it was 200; without one it is not known how the call ended.
    if (call.has_response) record.status = 200;
    record.unix_ns = call.response_ns ? call.response_ns : call.request_ns;
    const int64_t now_ns = UnixMillis(deps.clock.Now()) * 1'000'000;
    if (record.unix_ns && *record.unix_ns > now_ns) record.unix_ns = now_ns;
    if (call.request_ns && call.response_ns && *call.response_ns > *call.request_ns) {
      const int64_t took = *call.response_ns - *call.request_ns;
      if (took <= kLongestCall) {
        record.latency_ns = took;
        ++timed;
      }
    }
    if (call.has_request) record.request_bytes = call.request_bytes;
    if (call.has_response) record.response_bytes = call.response_bytes;
    record.rows = call.rows;
    record.features = call.features;
    record.features_cut = call.features_cut;
    const std::vector<std::string_view> names(call.names.begin(), call.names.end());
    const std::vector<std::string_view> predictions(call.predictions.begin(),
                                                    call.predictions.end());
    record.feature_names = names;
    record.predictions = predictions;
    record.score = call.score;
    record.score_of = call.score_of;
    record.row_scores = call.row_scores;
    record.class_scores = {call.scored_classes, call.class_scores};
    feed.Put(record, await_room);
  }

  void Remove(Waiting::iterator at) {
    waiting_bytes -= at->bytes;
    by_key.erase(at->key);
    waiting.erase(at);
    waiting_now = waiting.size();
  }
  void GiveUpOldest() {
    const Call& call = waiting.front().call;
    ++(call.has_request ? unmatched_requests : unmatched_responses);
    Give(call);
    Remove(waiting.begin());
  }

  /// {"request", "response": {"meta": {"puid"}}, "reward", "truth": {"data": …}}
  void TakeFeedback(const CloudEvent& event) {
    dom::element root;
    dom::element truth;
    if (parser.parse(event.data.data(), event.data.size()).get(root) != SUCCESS)
      return Count(Undecodable::kBody);
    if (root["truth"].get(truth) != SUCCESS || truth.is_null()) return;  // a reward alone
    std::string id(event.request_id);
    std::string_view puid;
    if (id.empty() && root["response"]["meta"]["puid"].get_string().get(puid) == SUCCESS) id = puid;
    if (id.empty()) id = event.id;
    const std::string body = simdjson::to_string(truth);
    std::optional<PayloadOutputs> outputs = payload.ReadOutputs(body, "");
    if (!outputs || id.size() > kMaxId) return Count(Undecodable::kBody);
    if (!deps.label) return;
    for (size_t row = 0; row < outputs->predicted.size(); ++row) {
      if (outputs->predicted[row].empty()) continue;
      const GroundTruth label{id, static_cast<uint32_t>(row), std::string(outputs->predicted[row]),
                              UnixMillis(deps.clock.Now())};
      // As predictions do, they wait here for room, and who sends is answered 503 once too much waits.
      bool taken = deps.label(label);
      while (!taken && await_room()) taken = deps.label(label);
      ++(taken ? labels : labels_lost);
    }
  }

  /// Everything that has been offered, and what has waited for long enough.
  void Drain() {
    for (;;) {
      std::deque<std::unique_ptr<Queued>> items;
      {
        MutexLock lock(mutex);
        items.swap(queue);
      }
      if (items.empty()) break;
      for (std::unique_ptr<Queued>& item : items) {
        TakeQueued(*item);
        const size_t bytes = item->bytes();
        item.reset();
        MutexLock lock(mutex);
        queued_bytes -= bytes;
      }
    }
    const SteadyTime now = deps.clock.SteadyNow();
    while (!waiting.empty() && waiting.front().call.arrived + options.patience <= now)
      GiveUpOldest();
  }

  void Run() {
    for (;;) {
      Drain();
      MutexLock lock(mutex);
      if (stop && queue.empty()) break;
      if (!stop && queue.empty()) (void)changed.WaitFor(mutex, kTick);
    }
    while (!waiting.empty()) GiveUpOldest();
  }

  bool AwaitRoom() {
    MutexLock lock(mutex);
    if (stop && deps.clock.SteadyNow() >= stop_at + kLastWait) return false;
    (void)changed.WaitFor(mutex, kRoomWait);
    return true;
  }

  const Deps deps;
  const Options options;
  SourceCounters counters;
  std::array<Counter, kCloudEventKinds> received{};
  std::array<Counter, kUndecodableNames.size()> undecodable{};
  Counter joined{0}, unmatched_requests{0}, unmatched_responses{0}, repeated{0}, dropped{0};
  Counter timed{0};
  Counter labels{0}, labels_lost{0};
  Counter waiting_now{0};

  Mutex mutex;
  CondVar changed;
  std::deque<std::unique_ptr<Queued>> queue GUARDED_BY(mutex);
  size_t queued_bytes GUARDED_BY(mutex) = 0;
  bool stop GUARDED_BY(mutex) = false;
  SteadyTime stop_at GUARDED_BY(mutex){};

  EventFeed feed;
  CloudEventReader reader;
  PayloadReader payload;
  dom::parser parser;
  TimeParser times;
  Waiting waiting;
  std::unordered_map<std::string, Waiting::iterator> by_key;
  size_t waiting_bytes = 0;
  RecentIds done;  ///< of calls that were joined
  const std::function<bool()> await_room = [this] { return AwaitRoom(); };
  std::thread thread;
  std::vector<Registry::Registration> registrations;  ///< last: they read the above
};

CloudEventIntake::CloudEventIntake(Deps deps, Options options)
    : impl_(std::make_unique<Impl>(std::move(deps), options)) {}
CloudEventIntake::~CloudEventIntake() { Stop(); }

void CloudEventIntake::Start() {
  impl_->thread = std::thread([this] { impl_->Run(); });
  pthread_setname_np(impl_->thread.native_handle(), "cloudevents");
}

void CloudEventIntake::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    MutexLock lock(impl_->mutex);
    impl_->stop = true;
    impl_->stop_at = impl_->deps.clock.SteadyNow();
    impl_->changed.NotifyAll();
  }
  impl_->thread.join();
}

Status CloudEventIntake::Offer(const HeaderOf& header, std::string_view body) {
  return impl_->Offer(header, body);
}

CloudEventIntake::Losses CloudEventIntake::losses() const { return impl_->losses(); }

void CloudEventIntake::RunOnce() { impl_->Drain(); }

SourceView CloudEventIntake::view() const {
  SourceView view;
  view.source = "cloudevents";
  view.TakeCounters(impl_->counters);
  for (const auto& counter : impl_->undecodable) view.malformed += counter;
  view.model_features = impl_->feed.features();
  std::string reads = StrCat("CloudEvents of requests and responses; ", impl_->joined.load(),
                             " calls joined, ", impl_->unmatched_requests.load(), " requests and ",
                             impl_->unmatched_responses.load(), " responses alone; ");
  reads +=
      impl_->timed > 0
          ? StrCat(
                "latency of ", impl_->timed.load(),
                " calls from the ce-time of their two events, which the sender may stamp when it "
                "sends them and not when they happened")
          : "no latency: no two events of a call have said their times";
  view.files.push_back({"POST /", "cloudevents", std::move(reads)});
  return view;
}

}  // namespace leadsman::intake
