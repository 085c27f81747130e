#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "events/prediction_event.h"
#include "events/ring_set.h"
#include "stats/registry.h"
#include "telemetry/batch_sender.h"
#include "telemetry/spans.h"
#include "telemetry/tracing_options.h"

namespace leadsman {

class Redactor;

/// Makes traces of served requests. Stands before the monitor: passes every event on, chooses at a
/// request's end whether it is worth a trace, and leaves what is in a ring of the thread that served
/// it. A thread of its own turns them into spans, and one per destination sends them. Nothing that a
/// destination does slows a request; what cannot be taken is counted.
///
/// Events that were observed elsewhere (logs, Envoy) are passed on alone: whoever answered them makes
/// their spans.
///
/// Thread-safe. `next` must outlive it.
class Tracer final : public Sink {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;
    Sink& next;
    SpanSource source;
    /// Called for each request that is kept, on the tracer's thread; may be absent.
    std::function<void(const TracedRequest&)> kept{};
    const Redactor* redactor = nullptr;  ///< of what is sent; null: as it came
  };
  /// Errors name the option: a headers_file or ca_file that cannot be read. RESOURCE_EXHAUSTED: no thread.
  static Result<std::unique_ptr<Tracer>> Create(Deps deps, TracingOptions options);
  /// What has been kept gets one more try, for at most a second.
  ~Tracer() override;

  void Emit(const PredictionEvent& event) override;
  bool TryEmit(const PredictionEvent& event) override { return next_.TryEmit(event); }
  uint32_t FeatureStride(size_t width) const override { return next_.FeatureStride(width); }
  std::shared_ptr<FeatureNames> NamesOf(std::string_view model) override {
    return next_.NamesOf(model);
  }
  uint64_t names_epoch() const override { return next_.names_epoch(); }
  std::span<const SegmentRule> SegmentsOf(std::string_view model) const override {
    return next_.SegmentsOf(model);
  }

  enum class Reason : uint8_t { kSampled, kError, kSlow, kShare };
  static constexpr size_t kReasons = 4;

 private:
  struct Destination {
    std::string name;
    std::string (*render)(const SpanSource&, std::span<const TracedRequest>);
    std::unique_ptr<BatchSender> sender;
  };
  Tracer(Deps deps, TracingOptions options, std::vector<Destination> destinations);
  void AddMetrics();
  std::optional<Reason> Worth(const PredictionEvent& event) const;
  void Keep(const PredictionEvent& event, Reason reason);
  void Loop();
  void Export();
  void Take(const std::byte* record);

  Clock& clock_;
  Registry& registry_;
  Sink& next_;
  const Redactor* const redactor_;
  const SpanSource source_;
  const std::function<void(const TracedRequest&)> on_kept_;
  const TracingOptions options_;
  const uint64_t share_below_;  ///< of 2^32
  RingSet rings_;
  std::array<std::atomic<uint64_t>, kReasons> kept_{};
  std::atomic<uint64_t> over_rate_{0};

  // Of the thread alone.
  std::vector<TracedRequest> batch_;
  double allowance_ = 0;
  SteadyTime allowance_at_{};
  Rng rng_;

  std::vector<Destination> destinations_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
  std::vector<Registry::Registration> registrations_;  ///< go first
};

}  // namespace leadsman
