#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "events/segment_rule.h"

namespace leadsman {

class FeatureNames;

enum class Protocol : uint8_t {
  kUnknown = 0,
  kTfServingRest,
  kV2Rest,
  kPlain,
  kTfServingGrpc,
  kV2Grpc,
  kMlflow
};
inline constexpr size_t kProtocolCount = 7;
std::string_view ProtocolName(Protocol protocol);  ///< "tfserving_rest", "v2_rest", …

/// What the answers of a model are, where an event's source knows.
enum class AnswerKind : uint8_t { kUnknown, kClass, kNumber };
/// What PredictionEvent::row_scores are probabilities of.
enum class ScoreOf : uint8_t {
  kNothing,      ///< there are none
  kBestClass,    ///< of the class that has the highest one
  kSecondClass,  ///< of two classes, that of the second in the model's own order
};

/// The probabilities of all classes, of more than two, for each row of an answer; in the model's own order.
struct ClassScores {
  static constexpr uint32_t kMaxClasses = 16;  ///< of models of more none are kept
  uint32_t classes = 0;                        ///< 0: there are none
  std::span<const float> values;               ///< one row after the other

  std::span<const float> of(size_t row) const {
    const size_t begin = row * classes;
    if (begin + classes > values.size()) return {};
    return values.subspan(begin, classes);
  }
};

/// What one request leaves behind. Written by the thread that served it while everything is still
/// hot in its caches; strings and spans point into the writer's buffers and are valid during Emit()
/// only.
struct PredictionEvent {
  std::string_view model;
  int64_t version = 0;      ///< 0 when no version was chosen
  uint32_t version_id = 0;  ///< ServableVersion::id, 0 when none
  Protocol protocol = Protocol::kUnknown;
  StatusCode outcome = StatusCode::kOk;
  /// The version was drawn by a rollout's split between a stable and a candidate: the request named
  /// neither version nor label, and the route has a candidate with a share. True for both outcomes
  /// of the draw; only such requests compare the two.
  bool drawn = false;
  /// Seen from outside, as in a log, instead of answered here: it counts without a version too. What
  /// its source does not say is marked, and nothing is put in its place.
  bool observed = false;
  bool outcome_known = true;  ///< false: `outcome` means nothing
  bool latency_known = true;  ///< false: `latency_ns` means nothing
  int64_t unix_ms = 0;        ///< wall time of the answer
  uint64_t latency_ns = 0;    ///< first byte parsed → answer encoded
  uint64_t compute_ns = 0;    ///< inside the runtime
  // For traces, of requests that are served here.
  int64_t unix_ns = 0;     ///< as unix_ms
  uint64_t decode_ns = 0;  ///< first byte parsed → understood
  uint64_t queue_ns = 0;   ///< waiting for a thread or a batch
  uint64_t batch_ns = 0;   ///< joining rows with those of others
  uint32_t rows = 0;
  uint32_t request_bytes = 0;
  uint32_t response_bytes = 0;
  std::string_view request_id;
  /// The caller's trace, when the request came with one: its ids as on the wire, and our span in it.
  bool traced = false;
  bool trace_sampled = false;
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  std::array<uint8_t, 8> parent_span_id{};

  /// Numeric input values of the first row of the first input, row-major: all of them for narrow
  /// inputs; of wide ones those of a sampled request. Each stands for `feature_weight` requests.
  /// Empty when this request was not sampled.
  std::span<const float> features;
  float feature_weight = 1;

  /// The answer per row: the class label, or the regression value. At most kMaxPredictions rows are
  /// kept. Text for string labels; decimal integers for integer labels and for the argmax of
  /// scores.
  static constexpr size_t kMaxPredictions = 16;
  std::span<const std::string_view> predicted;
  AnswerKind answer = AnswerKind::kUnknown;  ///< of `predicted`
  float score = -1;  ///< highest class score of the first row, -1 when unknown
  /// A probability for each row of `predicted`, or none at all; negative where a row's scores are no
  /// probabilities.
  ScoreOf score_of = ScoreOf::kNothing;
  std::span<const float> row_scores;
  /// Of the rows of `row_scores`, where those are of the best class; what stands at rows without one means nothing.
  ClassScores class_scores;

  /// Of the first row: the value of each of the model's segmentations, in the order of its
  /// configuration (SegmentRule). Empty when it has none.
  static constexpr size_t kMaxSegmentations = 4;
  std::span<const std::string_view> segments;

  /// The true answers of the same rows, where whoever tells of the request knows them already, as a capture file does. Empty
  /// text: not of this row. A label that comes later is a GroundTruth.
  std::span<const std::string_view> labels;
};

/// The true answer, later.
struct GroundTruth {
  std::string request_id;
  uint32_t row = 0;     ///< which row of the request
  std::string label;    ///< as text: "7"
  int64_t unix_ms = 0;  ///< when it arrived
};

/// Where serving, gateway and intake leave events; the monitor implements it.
/// Thread-safe. Never blocks and never fails: what cannot be taken is counted by the sink.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void Emit(const PredictionEvent& event) = 0;
  /// As Emit, for a source that can wait, as a file can: false when there is no room for the event at
  /// the moment. It is not counted then; offer it again.
  virtual bool TryEmit(const PredictionEvent& event) = 0;
  /// How many of a wide input's requests to skip between two sampled ones, given its width: 1 =
  /// sample every request.
  virtual uint32_t FeatureStride(size_t width) const = 0;
  /// Where the values of a model's events get their places, when they come with names
  /// (events/feature_names.h). Null: the sink keeps none.
  virtual std::shared_ptr<FeatureNames> NamesOf(std::string_view model);
  /// Another number: what NamesOf has given is to be asked for again.
  virtual uint64_t names_epoch() const { return 0; }
  /// How requests of a model are told apart (events/segment_rule.h): what PredictionEvent::segments are of. Valid as long as the
  /// sink is.
  virtual std::span<const SegmentRule> SegmentsOf(std::string_view model) const;
};

/// For a server without monitoring.
class NullSink final : public Sink {
 public:
  void Emit(const PredictionEvent&) override {}
  bool TryEmit(const PredictionEvent&) override { return true; }
  uint32_t FeatureStride(size_t) const override { return 0; }  ///< 0 = never
};

}  // namespace leadsman
