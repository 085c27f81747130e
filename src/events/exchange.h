#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_budget.h"
#include "events/grpc_method.h"
#include "events/prediction_event.h"

namespace leadsman {

/// One side of an exchange over HTTP: its body, as far as it was kept, and what its head says of it.
struct HttpBody {
  enum class State : uint8_t {
    kAbsent,     ///< none was sent, or nobody looked
    kWhole,      ///< as far as it came
    kTooLong,    ///< more than the limit
    kNoMemory,   ///< the budget of all bodies was used up
    kOtherType,  ///< of a content type that holds no predictions, as an image
  };
  State state = State::kAbsent;
  std::string content_type, content_encoding, body;
  std::optional<uint64_t> json_bytes;  ///< V2: binary tensors follow so much JSON
  /// Not kNone: the body is one message of this call, in gRPC's frame, and content_encoding that of compressed messages.
  GrpcMethod call = GrpcMethod::kNone;
};

/// A request that passes by and its answer, copied for who reads predictions out of them. Confined to one thread at a time; gives
/// what it holds of the budget back when it goes.
class ExchangeCopy {
 public:
  enum class Keep : uint8_t {
    kPredictions,  ///< no body of a type that holds none
    kAll,
  };
  ExchangeCopy(size_t source, size_t max_body, std::shared_ptr<ByteBudget> budget,
               Keep keep = Keep::kPredictions)
      : source_(source), max_body_(max_body), budget_(std::move(budget)), keep_(keep) {}
  ~ExchangeCopy() { budget_->Give(held_); }
  ExchangeCopy(const ExchangeCopy&) = delete;
  ExchangeCopy& operator=(const ExchangeCopy&) = delete;

  /// What the head says; a body of so many bytes, when it does, is not begun if it will be too long. Of a `call` it is gRPC's encoding.
  void Begin(HttpBody& side, std::string_view content_type, std::string_view content_encoding,
             std::string_view json_bytes, uint64_t length, GrpcMethod call = GrpcMethod::kNone);
  /// A piece of `request` or `response`. Whatever happens, it returns: a body that cannot be kept is let go, and its state says why.
  void Append(HttpBody& side, std::string_view bytes);
  /// Nobody needs this body any more.
  void Forget(HttpBody& side) { LetGo(side, HttpBody::State::kAbsent); }
  /// The segment that a header says, of a segmentation (SegmentRule). Beyond PredictionEvent::kMaxSegmentations none is kept.
  void AddSegment(std::string_view segmentation, std::string_view segment);
  /// Everything but inputs and predictions; its texts are copied.
  void SetEvent(const PredictionEvent& event);

  /// Its texts are ours. `feature_weight`: how many requests each one that is copied stands for.
  const PredictionEvent& event() const { return event_; }
  size_t source() const { return source_; }
  using Segment = std::pair<std::string, std::string>;  ///< of a segmentation
  const std::vector<Segment>& segments() const { return segments_; }

  HttpBody request, response;

 private:
  void LetGo(HttpBody& side, HttpBody::State why);

  const size_t source_;
  const size_t max_body_;
  const std::shared_ptr<ByteBudget> budget_;
  const Keep keep_;
  size_t held_ = 0;
  std::vector<Segment> segments_;
  std::string model_, request_id_;
  PredictionEvent event_;
};

/// A request that two versions have answered: one to its client, and the shadow to nobody. Confined to one thread at a time.
struct ShadowPair {
  ShadowPair(size_t source, size_t max_body, const std::shared_ptr<ByteBudget>& budget)
      : live(source, max_body, budget, ExchangeCopy::Keep::kAll),
        shadow(source, max_body, budget, ExchangeCopy::Keep::kAll) {}

  ExchangeCopy live;     ///< its request is not there any more
  ExchangeCopy shadow;   ///< the answer alone
  double tolerance = 0;  ///< of numbers that are to be the same
};

/// Where copies of exchanges go. Thread-safe; never blocks, never fails a request.
class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  /// To be filled; `source` tells whose it is, as an index that both sides know.
  virtual std::unique_ptr<ExchangeCopy> Begin(size_t source) = 0;
  /// One that was left out of a sample.
  virtual void CountUnsampled() = 0;
  /// Takes the copy and its event. False: there is no room, which is counted; the event is still the caller's to tell.
  virtual bool Offer(std::unique_ptr<ExchangeCopy> copy) = 0;
  /// Takes two answers to compare, with their events. What there is no room for is counted, and goes.
  virtual void OfferPair(std::unique_ptr<ShadowPair> pair) = 0;
};

}  // namespace leadsman
