#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace leadsman::net {

/// How much the requests under way may hold together, over all connections of the servers that share it. Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(size_t limit) : limit_(limit) {}

  /// False when it would be more than the limit; then nothing is taken.
  bool Take(size_t bytes) {
    if (held_.fetch_add(bytes) + bytes <= limit_) return true;
    held_.fetch_sub(bytes);
    return false;
  }
  void Give(size_t bytes) { held_.fetch_sub(bytes); }
  size_t limit() const { return limit_; }
  size_t held() const { return held_.load(); }

 private:
  const size_t limit_;
  std::atomic<size_t> held_{0};
};

/// One connection's part of a budget. Its first 64 KiB are free, and the rest is taken in pieces of that size, so that small
/// requests meet nobody else's cache line. Externally synchronised; gives everything back at its end.
class BodyShare {
 public:
  /// Without a budget everything may be held.
  explicit BodyShare(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  ~BodyShare() { Hold(0); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  /// From now on the connection holds so much; false, and all as before, where that is too much. Never where it is less than
  /// before.
  bool Hold(size_t bytes) {
    const size_t wanted = bytes <= kPiece || !budget_ ? 0 : (bytes - 1) / kPiece * kPiece;
    if (wanted > taken_ && !budget_->Take(wanted - taken_)) return false;
    if (wanted < taken_) budget_->Give(taken_ - wanted);
    taken_ = wanted;
    return true;
  }
  size_t limit() const { return budget_ ? budget_->limit() : 0; }

 private:
  static constexpr size_t kPiece = 64 << 10;
  const std::shared_ptr<BodyBudget> budget_;
  size_t taken_ = 0;
};

}  // namespace leadsman::net
