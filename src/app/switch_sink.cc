#include "app/switch_sink.h"

#include <thread>

namespace leadsman {
namespace {

size_t PlaceOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t place = next.fetch_add(1);
  return place;
}

}  // namespace

/// Holds the target that is there. It is read after the count was raised, and Set reads the counts after it has changed the
/// target (all of it seq_cst): one of the two sees the other.
class SwitchSink::Use {
 public:
  explicit Use(const SwitchSink& of) : users_(of.users_[PlaceOfThread() % of.users_.size()]) {
    users_.count.fetch_add(1);
    target_ = of.target_.load();
  }
  ~Use() { users_.count.fetch_sub(1); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Sink* get() const { return target_; }

 private:
  Users& users_;
  Sink* target_;
};

void SwitchSink::Set(Sink* target) {
  target_.store(target);
  // An event takes a microsecond, and the sinks never wait.
  for (const Users& users : users_) {
    while (users.count.load() > 0) std::this_thread::yield();
  }
  if (target != nullptr) epoch_.fetch_add(1);
}

void SwitchSink::Emit(const PredictionEvent& event) {
  const Use use(*this);
  if (use.get() == nullptr) return void(dropped_.fetch_add(1));
  use.get()->Emit(event);
}

bool SwitchSink::TryEmit(const PredictionEvent& event) {
  const Use use(*this);
  if (use.get() != nullptr) return use.get()->TryEmit(event);
  if (ended_) dropped_.fetch_add(1);
  return ended_;
}

uint32_t SwitchSink::FeatureStride(size_t width) const {
  const Use use(*this);
  return use.get() != nullptr ? use.get()->FeatureStride(width) : 0;
}

std::shared_ptr<FeatureNames> SwitchSink::NamesOf(std::string_view model) {
  const Use use(*this);
  return use.get() != nullptr ? use.get()->NamesOf(model) : nullptr;
}

std::span<const SegmentRule> SwitchSink::SegmentsOf(std::string_view model) const {
  const auto at = segments_.find(model);
  if (at == segments_.end()) return {};
  return at->second;
}

}  // namespace leadsman
