#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "events/event_text.h"
#include "events/prediction_event.h"

namespace leadsman {

/// How an event lies in a ring: a fixed head, then features, row scores, model name, request id,
/// predictions and segments without padding. Written and read by one build of one process: no wire format, no versioning,
/// nothing checked on reading.
inline constexpr size_t kMaxRequestId =
    255;  ///< a longer id is left out: it could not be joined exactly

/// At least the bytes that EncodeEvent will use.
size_t EncodedSizeBound(const PredictionEvent& event, size_t features);
/// Writes `event` with its first `features` features; returns the bytes used. `to` is 8-byte
/// aligned.
size_t EncodeEvent(const PredictionEvent& event, size_t features, std::byte* to);

/// An event read in place: all texts and spans point into the record.
struct DecodedEvent {
  PredictionEvent event;
  std::array<std::string_view, PredictionEvent::kMaxPredictions> predicted;
  std::array<std::string_view, PredictionEvent::kMaxSegmentations> segments;
  std::array<std::string_view, PredictionEvent::kMaxPredictions> labels;
};
/// Sets out.event.predicted, segments and labels to point into `out`, which must not be moved afterwards.
void DecodeEvent(const std::byte* from, DecodedEvent& out);

}  // namespace leadsman
