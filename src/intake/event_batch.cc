#include "intake/event_batch.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "events/row_score.h"
#include "intake/log_time.h"
#include "intake/model_name.h"
#include "intake/scalar_text.h"

namespace leadsman::intake {
namespace {

namespace dom = simdjson::dom;
using simdjson::SUCCESS;

constexpr size_t kMaxId = 255;    // of what is kept for labels
constexpr size_t kMaxText = 255;  // of a prediction or a label, likewise
constexpr size_t kMaxFeatures = 4096;
constexpr size_t kMaxFeatureName = 128;
constexpr size_t kRows = PredictionEvent::kMaxPredictions;
constexpr double kMaxLatencySeconds = 86'400;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// What the outcomes stand for, as codes of gRPC.
struct NamedOutcome {
  std::string_view name;
  std::optional<int> code;
};
constexpr std::array<NamedOutcome, 5> kOutcomes = {{{"ok", 0},
                                                    {"client_error", 3},
                                                    {"server_error", 13},
                                                    {"cancelled", 1},
                                                    {"unknown", std::nullopt}}};

/// Reads one object; the texts of its record lie here or in the JSON parser.
class EntryReader {
 public:
  explicit EntryReader(std::vector<std::string>& problems) : problems_(problems) {}

  bool Read(dom::element element, std::string_view path, int64_t now_ms) {
    Clear(path, now_ms);
    dom::object entry;
    if (element.get_object().get(entry) != SUCCESS)
      return Fail("", "must be an object with a model and what is known of one prediction");
    bool ok = true;
    for (dom::key_value_pair member : entry) ok = ReadField(member.key, member.value) && ok;
    if (!ok) return false;
    return CheckWhole();
  }

  const LogRecord& record() const { return record_; }
  std::span<const GroundTruth> labels() const { return labels_; }
  bool from_future() const { return from_future_; }
  bool before_1970() const { return before_1970_; }
  /// It tells what was right of a request, and nothing of the request.
  bool label_alone() const {
    return !labels_.empty() && !has_predictions_ && !has_status_ && !has_outcome_ &&
           !has_latency_ && features_.empty() && !record_.rows && !record_.score;
  }

 private:
  using Reader = bool (EntryReader::*)(std::string_view key, dom::element value);
  struct Field {
    std::string_view name;
    Reader read;
  };
  static constexpr size_t kFields = 16;
  static const std::array<Field, kFields>& Fields();

  void Clear(std::string_view path, int64_t now_ms) {
    path_ = path;
    separator_ = path.starts_with("line") ? ": " : ".";
    rows_ = 0;
    now_ms_ = now_ms;
    record_.Clear();
    record_.inference = true;
    features_.clear();
    names_.clear();
    predictions_.Clear();
    row_scores_.Clear();
    labels_.clear();
    segments_.Clear();
    segment_names_.clear();
    from_future_ = before_1970_ = has_status_ = has_outcome_ = has_predictions_ = has_latency_ =
        false;
  }

  bool ReadField(std::string_view key, dom::element value) {
    for (const Field& field : Fields()) {
      if (field.name != key) continue;
      // As good as absent.
      return value.is_null() || (this->*field.read)(key, value);
    }
    std::vector<std::string> names;
    for (const Field& field : Fields()) names.emplace_back(field.name);
    auto near = DidYouMean(CutUtf8(key, 64), names);
    return Fail(CutUtf8(key, 64), near ? StrCat("unknown key; did you mean ", *near, "?")
                                       : StrCat("unknown key; known here: ", HumanList(names)));
  }

  bool ReadModel(std::string_view key, dom::element value) {
    if (value.get_string().get(record_.model) == SUCCESS && IsModelName(record_.model)) return true;
    return Fail(key, "must be a text of 1 to 128 bytes, without control characters");
  }
  bool ReadVersion(std::string_view key, dom::element value) {
    int64_t number = 0;
    std::string_view text;
    if (value.get_string().get(text) == SUCCESS)
      number = ParseInt64(text).value_or(-1);
    else if (value.get_int64().get(number) != SUCCESS)
      number = -1;
    if (number < 0) return Fail(key, "must be a whole number from 0; 0 or absent: not known");
    version_ = std::to_string(number);
    record_.version = version_;
    return true;
  }
  bool ReadId(std::string_view key, dom::element value) {
    if (value.get_string().get(record_.request_id) == SUCCESS && !record_.request_id.empty() &&
        record_.request_id.size() <= kMaxId)
      return true;
    return Fail(key, "must be a text of 1 to 255 bytes");
  }
  bool ReadTime(std::string_view key, dom::element value) {
    std::string_view text;
    double number = 0;
    int64_t whole = 0;
    if (value.get_string().get(text) == SUCCESS) {
      record_.unix_ns = time_.Parse(text);
      if (!record_.unix_ns) {
        const int year = YearOutside(text);
        before_1970_ = year > 0 && year < 1970;
        from_future_ = year >= 1970;
      }
    } else if (value.get_int64().get(whole) == SUCCESS) {
      before_1970_ = whole < 0;
      if (whole >= 0) record_.unix_ns = ParseEpoch(std::to_string(whole));
      from_future_ = whole >= 0 && !record_.unix_ns;
    } else if (value.get_double().get(number) == SUCCESS) {
      before_1970_ = number < 0;
      if (number >= 0) record_.unix_ns = NanosOf(number);
      from_future_ = number >= 0 && !record_.unix_ns;
    }
    if (!record_.unix_ns && !before_1970_ && !from_future_)
      return Fail(key,
                  "must be a time: 2026-03-01T12:00:00Z, or seconds or milliseconds since 1970");
    // A time that cannot be is no reason to lose the event: when it came is the best that is known.
    from_future_ = from_future_ || (record_.unix_ns && *record_.unix_ns / 1'000'000 > now_ms_);
    if (from_future_ || before_1970_) record_.unix_ns = now_ms_ * 1'000'000;
    return true;
  }
  /// The year of what would be a time, if only it were one from 1970 to 2261; else 0.
  int YearOutside(std::string_view text) {
    int year = 0;
    const char* const end = text.data() + std::min<size_t>(text.size(), 4);
    auto [p, error] = std::from_chars(text.data(), end, year);
    if (error != std::errc() || p != text.data() + 4 || year < 1) return 0;
    if (year >= 1970 && year <= 2261) return 0;
    return time_.Parse(StrCat("2000", text.substr(4))) ? year : 0;  // a leap year
  }
  /// Seconds, milliseconds, microseconds or nanoseconds by their size, as ParseEpoch has them.
  static std::optional<int64_t> NanosOf(double number) {
    const double seconds = number < 1e11   ? number
                           : number < 1e14 ? number / 1e3
                           : number < 1e17 ? number / 1e6
                                           : number / 1e9;
    if (!(seconds < 9.2e9)) return std::nullopt;
    return static_cast<int64_t>(seconds * 1e3) * 1'000'000;
  }
  bool ReadStatus(std::string_view key, dom::element value) {
    int64_t status = 0;
    if (value.get_int64().get(status) != SUCCESS || status < 100 || status > 599)
      return Fail(key, "must be an HTTP status from 100 to 599; outcome takes a word instead");
    record_.status = static_cast<int>(status);
    has_status_ = true;
    return true;
  }
  bool ReadOutcome(std::string_view key, dom::element value) {
    std::string_view text;
    if (value.get_string().get(text) != SUCCESS) text = {};
    for (const NamedOutcome& outcome : kOutcomes) {
      if (outcome.name != text) continue;
      record_.grpc_status = outcome.code;
      has_outcome_ = true;
      return true;
    }
    return Fail(key, "must be ok, client_error, server_error, cancelled or unknown");
  }
  bool ReadLatency(std::string_view key, dom::element value) {
    double number = 0;
    const double unit = key == "latency_ms" ? 1e-3 : 1;
    if (has_latency_) return Fail(key, "there are both latency_ms and latency_seconds: give one");
    has_latency_ = true;
    if (value.get_double().get(number) != SUCCESS || !(number >= 0) ||
        number * unit > kMaxLatencySeconds)
      return Fail(key, "must be a number from 0 to a day");
    record_.latency_ns = static_cast<int64_t>(number * unit * 1e9);
    return true;
  }
  bool ReadScore(std::string_view key, dom::element value) {
    double number = 0;
    if (value.get_double().get(number) != SUCCESS || !(number >= 0 && number <= 1))
      return Fail(key, "must be a number from 0 to 1: the score of the predicted class");
    record_.score = static_cast<float>(number);
    record_.score_of = ScoreOf::kBestClass;
    return true;
  }
  bool ReadRows(std::string_view key, dom::element value) {
    uint64_t rows = 0;
    if (value.get_uint64().get(rows) != SUCCESS || rows > UINT32_MAX)
      return Fail(key, "must be a whole number: the rows of the request");
    record_.rows = static_cast<uint32_t>(rows);
    return true;
  }

  bool PushFeature(dom::element value, std::string_view key) {
    double number = 0;
    bool truth = false;
    if (value.get_double().get(number) == SUCCESS) {
      features_.push_back(static_cast<float>(number));
    } else if (value.get_bool().get(truth) == SUCCESS) {
      features_.push_back(truth ? 1 : 0);
    } else if (value.is_null() || value.is_string()) {
      features_.push_back(kNaN);
    } else {
      return Fail(key, "must hold the values of one row: numbers, texts, true, false or null");
    }
    if (features_.size() > kMaxFeatures)
      return Fail(key, StrCat("has more than ", kMaxFeatures, " values"));
    return true;
  }
  bool ReadFeatures(std::string_view key, dom::element value) {
    dom::array list;
    dom::object named;
    if (value.get_array().get(list) == SUCCESS) {
      for (dom::element one : list)
        if (!PushFeature(one, key)) return false;
      return true;
    }
    if (value.get_object().get(named) != SUCCESS)
      return Fail(key, "must be a list of numbers, or an object of them by name");
    for (dom::key_value_pair member : named) {
      if (member.key.size() > kMaxFeatureName)
        return Fail(key, "has a name of more than 128 bytes");
      if (!PushFeature(member.value, key)) return false;
      names_.push_back(member.key);
    }
    return true;
  }

  bool ReadSegments(std::string_view key, dom::element value) {
    dom::object named;
    if (value.get_object().get(named) != SUCCESS)
      return Fail(
          key,
          "must be an object of segments by the names of segmentations, as {\"tenant\": \"acme\"}");
    if (named.size() > PredictionEvent::kMaxSegmentations)
      return Fail(key, StrCat("names more than ", PredictionEvent::kMaxSegmentations,
                              ", which a model has at most"));
    for (dom::key_value_pair member : named) {
      if (member.value.is_null()) continue;
      if (!segments_.Add(member.value)) return Fail(key, "must hold texts, numbers, true or false");
      segment_names_.push_back(member.key);
    }
    return true;
  }

  /// A scalar, or the scores of all classes: then the place of the highest.
  bool PushPrediction(dom::element value, std::string_view key) {
    dom::array scores;
    if (value.get_array().get(scores) == SUCCESS) return PushScores(scores, key);
    if (!predictions_.Add(value)) return Fail(key, "must hold texts, numbers, true or false");
    if (predictions_.texts().back().size() > kMaxText)
      return Fail(key, "holds a text of more than 255 bytes");
    return true;
  }
  bool PushScores(dom::array scores, std::string_view key) {
    scores_.clear();
    for (dom::element element : scores) {
      double score = 0;
      if (element.get_double().get(score) != SUCCESS)
        return Fail(key, "a list in it must hold the scores of the classes, as numbers");
      scores_.push_back(score);
    }
    if (scores_.empty()) return Fail(key, "has an empty list of scores");
    const auto best = std::max_element(scores_.begin(), scores_.end());
    const double highest = *best;
    row_scores_.Add(std::span<const double>(scores_));
    if (predictions_.texts().empty() && !record_.score && highest >= 0 && highest <= 1)
      record_.score = static_cast<float>(highest);
    predictions_.AddNumber(best - scores_.begin());
    return true;
  }
  bool TakesPredictions(std::string_view key) {
    if (has_predictions_) return Fail(key, "there are both prediction and predictions: give one");
    return has_predictions_ = true;
  }
  bool ReadPrediction(std::string_view key, dom::element value) {
    if (!TakesPredictions(key) || !PushPrediction(value, key)) return false;
    return true;
  }
  bool ReadPredictions(std::string_view key, dom::element value) {
    dom::array list;
    if (!TakesPredictions(key)) return false;
    if (value.get_array().get(list) != SUCCESS)
      return Fail(key, "must be a list with one for each row; prediction takes a single one");
    size_t rows = 0;
    for (dom::element one : list) {
      if (rows++ < kRows && !PushPrediction(one, key)) return false;
    }
    rows_ = static_cast<uint32_t>(rows);
    return true;
  }
  bool PushLabel(dom::element value, size_t row, std::string_view key) {
    ScalarTexts text;
    if (!text.Add(value) || text.texts()[0].empty() || text.texts()[0].size() > kMaxText)
      return Fail(key, "must be a text of 1 to 255 bytes, a number, true or false");
    labels_.push_back({"", static_cast<uint32_t>(row), std::string(text.texts()[0]), now_ms_});
    return true;
  }
  bool ReadLabel(std::string_view key, dom::element value) { return PushLabel(value, 0, key); }
  bool ReadLabels(std::string_view key, dom::element value) {
    dom::array list;
    if (value.get_array().get(list) != SUCCESS)
      return Fail(key, "must be a list with one for each row; label takes a single one");
    size_t row = 0;
    for (dom::element one : list) {
      if (row == kRows)
        return Fail(key, StrCat("has more than ", kRows, ": later rows are not kept for labels"));
      if (!one.is_null() && !PushLabel(one, row, key)) return false;
      ++row;
    }
    return true;
  }

  bool CheckWhole() {
    if (record_.model.empty()) return Fail("model", "is missing");
    if (has_status_ && has_outcome_) return Fail("outcome", "there is a status, too: give one");
    if (!labels_.empty() && record_.request_id.empty())
      return Fail("label", "needs a request_id, by which it joins its prediction");
    for (GroundTruth& label : labels_) label.request_id = record_.request_id;
    record_.features = features_;
    if (!names_.empty()) record_.feature_names = names_;
    for (size_t i = 0; i < segment_names_.size(); ++i) record_.segments[i] = segments_.texts()[i];
    record_.segment_names = segment_names_;
    record_.predictions = predictions_.texts();
    if (!record_.predictions.empty()) record_.predicted = record_.predictions[0];
    if (row_scores_.of() != ScoreOf::kNothing) {
      record_.score_of = row_scores_.of();
      record_.row_scores = row_scores_.values();
      record_.class_scores = row_scores_.class_scores();
    }
    if (!record_.rows && has_predictions_)
      record_.rows = std::max<uint32_t>(rows_, record_.predictions.empty() ? 0 : 1);
    return true;
  }

  bool Fail(std::string_view field, std::string_view message) {
    if (problems_.size() < EventBatchReader::kMaxProblems)
      problems_.push_back(StrCat(path_, path_.empty() || field.empty() ? "" : separator_, field,
                                 path_.empty() && field.empty() ? "" : ": ", message));
    return false;
  }

  std::vector<std::string>& problems_;
  std::string path_;
  std::string_view separator_;
  int64_t now_ms_ = 0;
  TimeParser time_;
  LogRecord record_;
  std::string version_;
  std::vector<float> features_;
  std::vector<std::string_view> names_;
  ScalarTexts predictions_;
  std::vector<double> scores_;
  RowScores row_scores_;
  std::vector<GroundTruth> labels_;
  ScalarTexts segments_;
  std::vector<std::string_view> segment_names_;
  uint32_t rows_ = 0;
  bool from_future_ = false;
  bool before_1970_ = false;
  bool has_status_ = false;
  bool has_outcome_ = false;
  bool has_predictions_ = false;
  bool has_latency_ = false;
};

const std::array<EntryReader::Field, EntryReader::kFields>& EntryReader::Fields() {
  static constexpr std::array<Field, kFields> kTable = {
      {{"model", &EntryReader::ReadModel},
       {"version", &EntryReader::ReadVersion},
       {"request_id", &EntryReader::ReadId},
       {"timestamp", &EntryReader::ReadTime},
       {"status", &EntryReader::ReadStatus},
       {"outcome", &EntryReader::ReadOutcome},
       {"latency_ms", &EntryReader::ReadLatency},
       {"latency_seconds", &EntryReader::ReadLatency},
       {"features", &EntryReader::ReadFeatures},
       {"segments", &EntryReader::ReadSegments},
       {"prediction", &EntryReader::ReadPrediction},
       {"predictions", &EntryReader::ReadPredictions},
       {"score", &EntryReader::ReadScore},
       {"rows", &EntryReader::ReadRows},
       {"label", &EntryReader::ReadLabel},
       {"labels", &EntryReader::ReadLabels}}};
  return kTable;
}

bool TellsLines(std::string_view content_type) {
  for (std::string_view type : {"application/x-ndjson", "application/ndjson", "application/jsonl",
                                "application/x-jsonlines", "application/jsonlines"})
    if (EqualsIgnoreCase(Trim(content_type.substr(0, content_type.find(';'))), type)) return true;
  return false;
}

constexpr std::string_view kShape =
    "send {\"events\": [{\"model\": \"…\", \"prediction\": …}]}, or one such object a line";

}  // namespace

class EventBatchReader::Impl {
 public:
  Status Read(std::string_view body, std::string_view content_type, int64_t now_ms,
              const std::function<bool(const EventEntry&)>& visit, Outcome& outcome) {
    if (body.size() > kMaxEventBatchBytes)
      return InvalidArgumentError(
          StrCat("the body has ", body.size(), " bytes; at most ", kMaxEventBatchBytes, " a call"));
    Call call{now_ms, visit, outcome, EntryReader(outcome.problems)};
    if (Trim(body).empty()) return InvalidArgumentError(StrCat("the body is empty; ", kShape));
    if (TellsLines(content_type)) return ReadLines(body, call);
    dom::element root;
    if (parser_.parse(body.data(), body.size()).get(root) == SUCCESS)
      return ReadDocument(root, call);
    // curl's --data-binary says nothing of lines.
    const std::string_view first = Trim(body.substr(0, body.find('\n')));
    if (first.size() < body.size() && parser_.parse(first.data(), first.size()).error() == SUCCESS)
      return ReadLines(body, call);
    return InvalidArgumentError(StrCat("the body is not valid JSON; ", kShape));
  }

 private:
  struct Call {
    int64_t now_ms;
    const std::function<bool(const EventEntry&)>& visit;
    Outcome& outcome;
    EntryReader entry;
  };

  /// False: stop.
  static bool Take(dom::element element, std::string_view path, Call& call) {
    if (!call.entry.Read(element, path, call.now_ms)) {
      ++call.outcome.invalid;
    } else if (!call.visit({call.outcome.entries, path, call.entry.record(), call.entry.labels(),
                            call.entry.from_future(), call.entry.before_1970(),
                            call.entry.label_alone()})) {
      call.outcome.stopped = true;
      return false;
    }
    ++call.outcome.entries;
    return true;
  }

  static Status ReadDocument(dom::element root, Call& call) {
    dom::object object;
    dom::array list;
    if (root.get_array().get(list) != SUCCESS) {
      if (root.get_object().get(object) != SUCCESS)
        return InvalidArgumentError(StrCat("the body must be an object; ", kShape));
      dom::element events;
      if (object["events"].get(events) != SUCCESS) {
        Take(root, "", call);
        return OkStatus();
      }
      if (events.get_array().get(list) != SUCCESS)
        return InvalidArgumentError("events: must be a list of objects");
      if (object.size() > 1)
        return InvalidArgumentError("the body has other keys beside events; it must have none");
    }
    size_t size = 0;
    for ([[maybe_unused]] dom::element element : list) ++size;
    if (size > kMaxEventsPerCall)
      return InvalidArgumentError(
          StrCat("events: ", size, " entries; at most ", kMaxEventsPerCall, " a call"));
    for (dom::element element : list)
      if (!Take(element, StrCat("events[", call.outcome.entries, "]"), call)) break;
    return OkStatus();
  }

  Status ReadLines(std::string_view body, Call& call) {
    std::vector<std::string_view> lines = Split(body, '\n');
    const auto held = static_cast<size_t>(std::count_if(
        lines.begin(), lines.end(), [](std::string_view line) { return !Trim(line).empty(); }));
    if (held > kMaxEventsPerCall)
      return InvalidArgumentError(StrCat(held, " lines; at most ", kMaxEventsPerCall, " a call"));
    size_t number = 0;
    for (std::string_view line : lines) {
      ++number;
      line = Trim(line);
      if (line.empty()) continue;
      const std::string path = StrCat("line ", number);
      dom::element root;
      if (parser_.parse(line.data(), line.size()).get(root) != SUCCESS) {
        if (call.outcome.problems.size() < kMaxProblems)
          call.outcome.problems.push_back(StrCat(path, ": is not valid JSON"));
        ++call.outcome.invalid;
        ++call.outcome.entries;
        continue;
      }
      if (!Take(root, path, call)) break;
    }
    return OkStatus();
  }

  dom::parser parser_;
};

EventBatchReader::EventBatchReader() : impl_(std::make_unique<Impl>()) {}
EventBatchReader::~EventBatchReader() = default;

Status EventBatchReader::Read(std::string_view body, std::string_view content_type,
                              int64_t now_unix_ms,
                              const std::function<bool(const EventEntry&)>& visit,
                              Outcome& outcome) {
  return impl_->Read(body, content_type, now_unix_ms, visit, outcome);
}

}  // namespace leadsman::intake
