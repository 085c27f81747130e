#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "events/prediction_event.h"

namespace leadsman::gateway {

/// Keeps what a gateway tells.
class EventList final : public Sink {
 public:
  struct Event {
    std::string model, id;
    int64_t version = 0;
    StatusCode outcome = StatusCode::kOk;
    bool drawn = false;
    uint64_t latency_ns = 0;
    uint32_t request_bytes = 0, response_bytes = 0;
  };
  /// Called first, on the thread that tells; set before anything is told.
  std::function<void()> on_emit;

  void Emit(const PredictionEvent& e) override {
    if (on_emit) on_emit();
    MutexLock lock(mutex_);
    events_.push_back({std::string(e.model), std::string(e.request_id), e.version, e.outcome,
                       e.drawn, e.latency_ns, e.request_bytes, e.response_bytes});
  }
  bool TryEmit(const PredictionEvent& e) override {
    Emit(e);
    return true;
  }
  uint32_t FeatureStride(size_t) const override { return 0; }
  std::vector<Event> all() const {
    MutexLock lock(mutex_);
    return events_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<Event> events_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::gateway
