#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "base/byte_budget.h"

namespace leadsman::net {

/// One connection's part of a budget. Its first 64 KiB are free, and the rest is taken in pieces of that size, so that small
/// requests meet nobody else's cache line. Externally synchronised; gives everything back at its end.
class BodyShare {
 public:
  /// Without a budget everything may be held.
  explicit BodyShare(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
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
  const std::shared_ptr<ByteBudget> budget_;
  size_t taken_ = 0;
};

}  // namespace leadsman::net
