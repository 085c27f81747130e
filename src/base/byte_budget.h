#pragma once

#include <atomic>
#include <cstddef>

namespace leadsman {

/// A limit on the bytes that all who share it hold at a time. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}

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

}  // namespace leadsman
