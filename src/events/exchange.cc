#include "events/exchange.h"

#include <algorithm>
#include <array>
#include <new>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kMaxText = 256;  // of what is kept of a field

/// Everything may hold a prediction, as curl sends JSON as a form, but what is sure to be something else.
bool HoldsNoPredictions(std::string_view content_type) {
  static constexpr std::array<std::string_view, 7> kOthers = {
      "image/",          "video/", "audio/", "multipart/", "text/html", "text/event-stream",
      "application/grpc"};
  return std::any_of(kOthers.begin(), kOthers.end(), [&](std::string_view other) {
    return content_type.size() >= other.size() &&
           EqualsIgnoreCase(content_type.substr(0, other.size()), other);
  });
}

}  // namespace

void ExchangeCopy::Begin(HttpBody& side, std::string_view content_type,
                         std::string_view content_encoding, std::string_view json_bytes,
                         uint64_t length, GrpcMethod call) {
  side.call = call;
  side.content_type = content_type.substr(0, kMaxText);
  side.content_encoding = content_encoding.substr(0, kMaxText);
  if (!json_bytes.empty())
    side.json_bytes =
        static_cast<uint64_t>(std::max<int64_t>(ParseInt64(json_bytes).value_or(0), 0));
  if (keep_ == Keep::kPredictions && call == GrpcMethod::kNone &&
      HoldsNoPredictions(content_type)) {
    side.state = HttpBody::State::kOtherType;
  } else if (length > max_body_) {
    side.state = HttpBody::State::kTooLong;
  }
}

void ExchangeCopy::Append(HttpBody& side, std::string_view bytes) {
  using State = HttpBody::State;
  if (bytes.empty() || (side.state != State::kAbsent && side.state != State::kWhole)) return;
  side.state = State::kWhole;
  if (side.body.size() + bytes.size() > max_body_) return LetGo(side, State::kTooLong);
  if (!budget_->Take(bytes.size())) return LetGo(side, State::kNoMemory);
  held_ += bytes.size();
  try {
    side.body.append(bytes);
  } catch (const std::bad_alloc&) {
    held_ -= bytes.size();
    budget_->Give(bytes.size());
    LetGo(side, State::kNoMemory);
  }
}

void ExchangeCopy::LetGo(HttpBody& side, HttpBody::State why) {
  held_ -= side.body.size();
  budget_->Give(side.body.size());
  side.state = why;
  std::string().swap(side.body);
}

void ExchangeCopy::AddSegment(std::string_view segmentation, std::string_view segment) {
  if (segment.empty() || segments_.size() == PredictionEvent::kMaxSegmentations) return;
  segments_.emplace_back(segmentation, segment.substr(0, kMaxText));
}

void ExchangeCopy::SetEvent(const PredictionEvent& event) {
  model_ = event.model;
  request_id_ = event.request_id;
  event_ = event;
  event_.model = model_;
  event_.request_id = request_id_;
  event_.features = {};
  event_.predicted = {};
  event_.row_scores = {};
  event_.class_scores = {};
  event_.segments = {};
  event_.labels = {};
}

}  // namespace leadsman
