#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/prediction_event.h"
#include "intake/cloud_event.h"
#include "intake/source_view.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// Takes the CloudEvents that loggers of model servers send (KServe's agent, Seldon), joins each request with its response, and
/// gives one prediction a call to a sink.
///
///   I/O thread: Offer ─▶ queue ─▶ one thread: decode ─▶ join by id ─▶ sink
///
/// The half of a call that waits for its other one is kept for `patience`; what is alone then, or has to make room, is a request
/// whose outcome is not known, or an answer without its inputs. Both bounds hold bytes and numbers; what is dropped is counted.
///
/// Thread-safe but for Start and Stop, which belong to the owner.
class CloudEventIntake {
 public:
  struct Options {
    size_t max_queue_bytes = size_t{64} << 20;
    size_t max_waiting = 10'000;  ///< halves
    size_t max_waiting_bytes = size_t{64} << 20;
    std::chrono::milliseconds patience{60'000};
    /// Ids of calls whose halves were joined are remembered for so long, and so many of them: what is delivered again counts as
    /// repeated.
    std::chrono::milliseconds remember{300'000};
    size_t max_remembered = 50'000;
  };
  struct Deps {
    const Clock& clock;
    Sink& sink;
    Registry& registry;
    /// Takes the true answers of Seldon's feedback; false: there is no room now, and it is offered again. May be absent.
    std::function<bool(const GroundTruth&)> label;
  };
  CloudEventIntake(Deps deps, Options options);
  ~CloudEventIntake();
  CloudEventIntake(const CloudEventIntake&) = delete;
  CloudEventIntake& operator=(const CloudEventIntake&) = delete;

  void Start();
  /// What is queued or waits is given to the sink. The sink must live on meanwhile.
  void Stop();

  /// Takes a request's headers and body; everything else happens later. INVALID_ARGUMENT when it is no CloudEvent, UNAVAILABLE
  /// when the queue is full: counted as dropped. Never blocks.
  Status Offer(const HeaderOf& header, std::string_view body);

  /// As of a log; its source is "cloudevents".
  SourceView view() const;

  /// What came and what of it was lost; sums. Thread-safe.
  struct Losses {
    uint64_t events = 0;      ///< that came
    uint64_t dropped = 0;     ///< HTTP requests that the queue had no room for
    uint64_t unreadable = 0;  ///< no CloudEvent
    uint64_t bodies = 0;      ///< of those that came, without data or with such of no known form
    uint64_t labels = 0;      ///< of feedback, that were taken
    uint64_t labels_lost = 0;
  };
  Losses losses() const;

  /// Everything offered before has been decoded when it returns, and what waits for its other half longer than `patience` is
  /// given on. For tests; without Start().
  void RunOnce();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::intake
