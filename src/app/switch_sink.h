#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/prediction_event.h"
#include "events/segment_rule.h"

namespace leadsman {

/// A sink whose target comes and goes while events are emitted: what passes requests outlives the monitor that is told of
/// them. Without a target events are counted and dropped; who can wait is told to.
///
/// Thread-safe; Set by one thread at a time.
class SwitchSink final : public Sink {
 public:
  /// `segments`: of the models, for as long as the sink lives.
  explicit SwitchSink(std::map<std::string, std::vector<SegmentRule>, std::less<>> segments)
      : segments_(std::move(segments)) {}

  /// Null: none. When it returns nobody uses the one before any more.
  void Set(Sink* target);
  /// There will be no target any more: who could wait for one need not.
  void End() { ended_ = true; }
  /// Events that came while there was no target.
  uint64_t dropped() const { return dropped_.load(); }

  void Emit(const PredictionEvent& event) override;
  bool TryEmit(const PredictionEvent& event) override;
  uint32_t FeatureStride(size_t width) const override;
  std::shared_ptr<FeatureNames> NamesOf(std::string_view model) override;
  uint64_t names_epoch() const override { return epoch_.load(); }
  std::span<const SegmentRule> SegmentsOf(std::string_view model) const override;

 private:
  class Use;
  /// Of threads that use the target: each counts in a place that few others share.
  struct alignas(64) Users {
    std::atomic<int> count{0};
  };

  const std::map<std::string, std::vector<SegmentRule>, std::less<>> segments_;
  std::atomic<Sink*> target_{nullptr};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<uint64_t> dropped_{0};
  std::atomic<bool> ended_{false};
  mutable std::array<Users, 16> users_;
};

}  // namespace leadsman
