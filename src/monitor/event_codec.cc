#include "monitor/event_codec.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace leadsman {
namespace {

struct Head {
  int64_t version;
  int64_t unix_ms;
  uint64_t latency_ns;
  uint64_t compute_ns;
  uint32_t version_id;
  uint32_t rows;
  uint32_t request_bytes;
  uint32_t response_bytes;
  float feature_weight;
  float score;
  uint32_t features;
  uint8_t outcome;
  uint8_t protocol;
  uint8_t model_length;
  uint8_t id_length;
  uint8_t predictions;
  uint8_t flags;
  uint8_t answer;
  uint8_t score_of;
  uint8_t row_scores;
  uint8_t segments;
  uint8_t labels;
  uint8_t scored_classes;
};
static_assert(sizeof(Head) == 72);

enum Flag : uint8_t { kDrawn = 1, kObserved = 2, kOutcomeUnknown = 4, kLatencyUnknown = 8 };

uint8_t FlagsOf(const PredictionEvent& event) {
  return static_cast<uint8_t>((event.drawn ? kDrawn : 0) | (event.observed ? kObserved : 0) |
                              (event.outcome_known ? 0 : kOutcomeUnknown) |
                              (event.latency_known ? 0 : kLatencyUnknown));
}

size_t CutLength(std::string_view text) { return std::min(text.size(), kMaxEventText); }
size_t IdLength(std::string_view id) { return id.size() <= kMaxRequestId ? id.size() : 0; }
size_t PredictionCount(const PredictionEvent& event) {
  return std::min(event.predicted.size(), PredictionEvent::kMaxPredictions);
}
size_t ScoreCount(const PredictionEvent& event) {
  return std::min(event.row_scores.size(), PredictionCount(event));
}
/// All rows have as many as the first, or none are kept.
uint32_t ScoredClasses(const PredictionEvent& event) {
  const ClassScores& scores = event.class_scores;
  const bool fits = scores.classes <= ClassScores::kMaxClasses &&
                    scores.values.size() >= ScoreCount(event) * scores.classes;
  return fits ? scores.classes : 0;
}
size_t SegmentCount(const PredictionEvent& event) {
  return std::min(event.segments.size(), PredictionEvent::kMaxSegmentations);
}
/// Never more than there are predictions to compare with.
size_t LabelCount(const PredictionEvent& event) {
  return std::min(event.labels.size(), PredictionCount(event));
}

char* Append(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}
char* AppendFloats(char* to, std::span<const float> values) {
  if (!values.empty()) std::memcpy(to, values.data(), values.size_bytes());
  return to + values.size_bytes();
}
/// Each with its length before it, cut off where it is too long.
char* AppendTexts(char* to, std::span<const std::string_view> texts) {
  for (std::string_view text : texts) {
    text = text.substr(0, CutLength(text));
    *to++ = static_cast<char>(text.size());
    if (!text.empty()) to = Append(to, text);
  }
  return to;
}

const char* ReadTexts(const char* at, size_t count, std::string_view* texts) {
  for (size_t i = 0; i < count; ++i) {
    const auto length = static_cast<unsigned char>(*at++);
    texts[i] = {at, length};
    at += length;
  }
  return at;
}

}  // namespace

size_t EncodedSizeBound(const PredictionEvent& event, size_t features) {
  const size_t scores = ScoreCount(event) * (1 + ScoredClasses(event));
  size_t bytes = sizeof(Head) + (features + scores) * sizeof(float) + CutLength(event.model) +
                 IdLength(event.request_id);
  for (size_t i = 0; i < PredictionCount(event); ++i) bytes += 1 + CutLength(event.predicted[i]);
  for (size_t i = 0; i < SegmentCount(event); ++i) bytes += 1 + CutLength(event.segments[i]);
  for (size_t i = 0; i < LabelCount(event); ++i) bytes += 1 + CutLength(event.labels[i]);
  return bytes;
}

size_t EncodeEvent(const PredictionEvent& event, size_t features, std::byte* to) {
  const size_t predictions = PredictionCount(event);
  std::string_view model = event.model.substr(0, CutLength(event.model));
  std::string_view id = event.request_id.substr(0, IdLength(event.request_id));
  // In place: what is put together elsewhere would have to be copied before it has reached the cache.
  const Head& head = *new (to) Head{.version = event.version,
                                    .unix_ms = event.unix_ms,
                                    .latency_ns = event.latency_ns,
                                    .compute_ns = event.compute_ns,
                                    .version_id = event.version_id,
                                    .rows = event.rows,
                                    .request_bytes = event.request_bytes,
                                    .response_bytes = event.response_bytes,
                                    .feature_weight = event.feature_weight,
                                    .score = event.score,
                                    .features = static_cast<uint32_t>(features),
                                    .outcome = static_cast<uint8_t>(event.outcome),
                                    .protocol = static_cast<uint8_t>(event.protocol),
                                    .model_length = static_cast<uint8_t>(model.size()),
                                    .id_length = static_cast<uint8_t>(id.size()),
                                    .predictions = static_cast<uint8_t>(predictions),
                                    .flags = FlagsOf(event),
                                    .answer = static_cast<uint8_t>(event.answer),
                                    .score_of = static_cast<uint8_t>(event.score_of),
                                    .row_scores = static_cast<uint8_t>(ScoreCount(event)),
                                    .segments = static_cast<uint8_t>(SegmentCount(event)),
                                    .labels = static_cast<uint8_t>(LabelCount(event)),
                                    .scored_classes = static_cast<uint8_t>(ScoredClasses(event))};
  char* at = reinterpret_cast<char*>(to) + sizeof(head);
  at = AppendFloats(at, event.features.first(features));
  at = AppendFloats(at, event.row_scores.first(ScoreCount(event)));
  at = AppendFloats(at,
                    event.class_scores.values.first(size_t{head.row_scores} * head.scored_classes));
  if (!model.empty()) at = Append(at, model);
  if (!id.empty()) at = Append(at, id);
  at = AppendTexts(at, event.predicted.first(predictions));
  at = AppendTexts(at, event.segments.first(head.segments));
  at = AppendTexts(at, event.labels.first(head.labels));
  return static_cast<size_t>(at - reinterpret_cast<char*>(to));
}

void DecodeEvent(const std::byte* from, DecodedEvent& out) {
  Head head;
  std::memcpy(&head, from, sizeof(head));
  PredictionEvent& event = out.event;
  event.version = head.version;
  event.version_id = head.version_id;
  event.protocol = static_cast<Protocol>(head.protocol);
  event.outcome = static_cast<StatusCode>(head.outcome);
  event.drawn = (head.flags & kDrawn) != 0;
  event.observed = (head.flags & kObserved) != 0;
  event.outcome_known = (head.flags & kOutcomeUnknown) == 0;
  event.latency_known = (head.flags & kLatencyUnknown) == 0;
  event.unix_ms = head.unix_ms;
  event.latency_ns = head.latency_ns;
  event.compute_ns = head.compute_ns;
  event.rows = head.rows;
  event.request_bytes = head.request_bytes;
  event.response_bytes = head.response_bytes;
  event.feature_weight = head.feature_weight;
  event.answer = static_cast<AnswerKind>(head.answer);
  event.score = head.score;
  event.score_of = static_cast<ScoreOf>(head.score_of);
  // Records are 8-byte aligned and the head is a multiple of 8 long.
  const auto* floats = reinterpret_cast<const float*>(from + sizeof(head));
  event.features = {floats, head.features};
  event.row_scores = {floats + head.features, head.row_scores};
  floats += head.features + head.row_scores;
  const size_t class_scores = size_t{head.row_scores} * head.scored_classes;
  event.class_scores = {head.scored_classes, {floats, class_scores}};
  const char* at = reinterpret_cast<const char*>(floats + class_scores);
  event.model = {at, head.model_length};
  at += head.model_length;
  event.request_id = {at, head.id_length};
  at += head.id_length;
  at = ReadTexts(at, head.predictions, out.predicted.data());
  at = ReadTexts(at, head.segments, out.segments.data());
  ReadTexts(at, head.labels, out.labels.data());
  event.predicted = {out.predicted.data(), head.predictions};
  event.segments = {out.segments.data(), head.segments};
  event.labels = {out.labels.data(), head.labels};
}

}  // namespace leadsman
