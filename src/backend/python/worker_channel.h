#pragma once

#include <chrono>
#include <span>
#include <string>

#include "backend/python/shared_region.h"
#include "backend/python/worker_protocol.h"
#include "base/clock.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman::python {

/// How one call ended, for the worker: may it be used again?
enum class CallEnd {
  kAnswered,  ///< yes; the call itself may have failed
  kNotSent,   ///< no: it had gone before it was asked, so another one may be
  kLate,      ///< the deadline passed and the worker still computes: not before ReadLate says so
  kBroken,    ///< it has gone, or said something that makes no sense
};

/// The server's end of the channel to one worker. Confined to whoever holds the worker; Wake is thread-safe.
class WorkerChannel {
 public:
  /// `max_bytes`: neither region grows beyond it.
  static Result<WorkerChannel> Create(Clock& clock, size_t max_bytes);

  /// For the worker to inherit.
  int request_fd() const { return requests_.fd(); }
  int response_fd() const { return responses_.fd(); }
  void Attach(UniqueFd socket) { socket_ = std::move(socket); }
  int fd() const { return socket_.get(); }

  /// Sends the message kLoad; the socket takes it before anybody reads it.
  Status SendLoad(std::string_view json);
  void SendQuit();

  /// Blocks until the worker has answered, or the deadline has passed (DEADLINE_EXCEEDED), or the worker has gone
  /// (UNAVAILABLE, for the caller to say more). Other errors are those of the inputs and of the model.
  struct CallResult {
    CallEnd end;
    Status status;
  };
  CallResult Run(const Signature& signature, std::span<const TensorView> inputs,
                 SteadyTime deadline, OutputBuffer& out);

  /// What is there to be read, without waiting, of a worker that loads (kHello, kLoaded, kFailed).
  enum class ReadEnd { kMessage, kNothing, kGone };
  ReadEnd Read(Message& message);
  std::string Text(const Message& message, size_t max_bytes) const {
    return ReadText(message, responses_.bytes(), max_bytes);
  }
  Status FailureOf(const Message& failed) const;

  /// For a worker that is late, when there is something to read: kAnswered once it has answered, kLate when it goes on.
  CallEnd ReadLate();

  /// Makes a Run that waits end with kBroken. Thread-safe.
  void Wake();

 private:
  WorkerChannel(Clock& clock, size_t max_bytes) : clock_(&clock), max_bytes_(max_bytes) {}
  bool Send(const Message& message) const;
  bool SendRegion(uint16_t which, const SharedRegion& region);
  Status Grow(SharedRegion& region, size_t bytes) const;
  CallResult Answer(const Signature& signature, SteadyTime deadline, OutputBuffer& out);

  Clock* clock_;
  size_t max_bytes_;
  UniqueFd socket_;
  SharedRegion requests_;
  SharedRegion responses_;
  uint32_t number_ = 0;
};

}  // namespace leadsman::python
