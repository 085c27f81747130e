#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http2_server.h"
#include "rpc/prediction.h"
#include "rpc/v2_infer.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// The requests of one ModelStreamInfer: several are under way at once, each is answered when those before it have been.
/// What is under way is bounded by number (ServiceContext::max_stream_requests) and by bytes (messages.expanded).
///
///   while (HasRoom()) Start(message);      ready → Deliver(): sends what its turn has come for
///
/// Confined to the stream's thread; models run on others meanwhile. Kept with the stream: while anything is under way the
/// stream is held, and used for no other.
class StreamInfer {
 public:
  /// A new stream. `ready` is called on its thread each time that a request has ended elsewhere. `terms` stay as they are
  /// until the next Begin.
  void Begin(const CallTerms& terms, bool errors_end_it,
             std::function<void(net::Http2Stream&)> ready);
  /// Nothing is under way: all that was begun has been answered.
  bool idle() const { return under_way_.empty(); }
  /// Whether one more may be begun. When not, ask again after the next Deliver; the stream is counted as one that waits.
  bool HasRoom();
  /// Begins the request of a ModelInferRequest. `message` is not needed afterwards.
  void Start(net::Http2Stream& stream, std::string_view message);
  /// Sends the answers whose turn has come. An error ends the stream (`errors_end_it`); what is behind it gets no answer.
  Status Deliver(net::Http2Stream& stream);
  /// Nobody waits for the answers: what has not begun to run leaves its queue.
  void Cancel();

 private:
  struct Request {
    PredictionCall prediction;
    ModelInferCodec codec;
    std::string id;
    Status status;
    std::string response;  ///< a whole gRPC message, also for an error
    size_t held_bytes = 0;
    bool ended = false;
  };
  void Complete(Request& request);
  Status Encode(Request& request);
  static void EncodeError(Request& request);
  void Hold(Request& request, size_t bytes);
  std::unique_ptr<Request> TakeSpare();
  void PutBack(std::unique_ptr<Request> request);

  const CallTerms* terms_ = nullptr;
  bool errors_end_it_ = false;
  std::function<void(net::Http2Stream&)> ready_;
  std::deque<std::unique_ptr<Request>> under_way_;  ///< in the order of the requests
  size_t held_bytes_ = 0;                           ///< of all that is under way
  bool waits_ = false;                              ///< HasRoom has said no, and is not asked yet
  std::vector<std::unique_ptr<Request>> spare_;
};

}  // namespace leadsman::rpc
