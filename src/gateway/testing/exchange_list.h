#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "events/exchange.h"

namespace leadsman::gateway {

/// Keeps the copies that a gateway hands over.
class ExchangeList final : public ExchangeSink {
 public:
  explicit ExchangeList(size_t max_body = 1 << 20, size_t max_held_bytes = 1 << 20)
      : max_body_(max_body), budget_(std::make_shared<ByteBudget>(max_held_bytes)) {}

  std::unique_ptr<ExchangeCopy> Begin(size_t source) override {
    return std::make_unique<ExchangeCopy>(source, max_body_, budget_);
  }
  void CountUnsampled() override { ++unsampled_; }
  bool Offer(std::unique_ptr<ExchangeCopy> copy) override {
    if (full_) return false;
    MutexLock lock(mutex_);
    copies_.push_back(std::move(copy));
    return true;
  }

  void OfferPair(std::unique_ptr<ShadowPair> pair) override {
    MutexLock lock(mutex_);
    pairs_.push_back(std::move(pair));
  }

  void SetFull(bool full) { full_ = full; }
  int unsampled() const { return unsampled_; }
  size_t held() const { return budget_->held(); }
  size_t count() const {
    MutexLock lock(mutex_);
    return copies_.size();
  }
  size_t pair_count() const {
    MutexLock lock(mutex_);
    return pairs_.size();
  }
  /// The oldest; null when there is none.
  std::unique_ptr<ShadowPair> TakePair() {
    MutexLock lock(mutex_);
    if (pairs_.empty()) return nullptr;
    auto first = std::move(pairs_.front());
    pairs_.erase(pairs_.begin());
    return first;
  }
  /// The oldest; null when there is none.
  std::unique_ptr<ExchangeCopy> Take() {
    MutexLock lock(mutex_);
    if (copies_.empty()) return nullptr;
    auto first = std::move(copies_.front());
    copies_.erase(copies_.begin());
    return first;
  }

 private:
  const size_t max_body_;
  const std::shared_ptr<ByteBudget> budget_;
  std::atomic<bool> full_{false};
  std::atomic<int> unsampled_{0};
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<ExchangeCopy>> copies_ GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<ShadowPair>> pairs_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::gateway
