#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/pages.h"

namespace leadsman {

/// A bounded queue of byte records of any size between one writing and one reading thread. Neither
/// ever waits: when there is no room, Reserve says so and counts a drop.
///
///   if (std::byte* p = ring.Reserve(n)) { …write at most n bytes at p…; ring.Commit(used); }   //
///   the writer ring.Drain([](const std::byte* p, size_t n) { … }); // the reader
///
/// Records are contiguous and 8-byte aligned; one that does not fit before the end of the buffer
/// starts again at its beginning. A writer that finds the ring empty also starts again at the
/// beginning, so that at ordinary load only the first few dozen kilobytes are ever touched and stay
/// in the cache, whatever the capacity kept for bursts.
///
/// Thread safety: Reserve/Commit by one thread at a time, Drain by one thread at a time; dropped()
/// from any.
class ByteRing {
 public:
  /// Rounded up to a power of two; at least 1 KiB.
  explicit ByteRing(size_t capacity)
      : capacity_(std::bit_ceil(capacity < 1024 ? size_t{1024} : capacity)), buffer_(capacity_) {}
  ByteRing(const ByteRing&) = delete;
  ByteRing& operator=(const ByteRing&) = delete;

  size_t capacity() const { return capacity_; }
  /// Longer records are never taken.
  size_t max_record() const { return capacity_ / 4; }

  /// Room for `bytes`, or null when the ring is full or the record too long: counted as a drop.
  std::byte* Reserve(size_t bytes) {
    std::byte* room = TryReserve(bytes);
    if (room == nullptr) CountDrop();
    return room;
  }
  /// The same without counting: who asks will ask again.
  std::byte* TryReserve(size_t bytes) {
    const size_t need = kHeader + Padded(bytes);
    size_t offset = static_cast<size_t>(write_) & (capacity_ - 1);
    // acquire: pairs with the release in Drain.
    if (offset >= kRewindAfter && read_position_.load(std::memory_order_acquire) == write_) {
      Rewind(offset);
      offset = 0;
    } else if (offset + need > capacity_) {
      if (!HasRoom(capacity_ - offset + need)) return nullptr;
      SkipToStart(offset);
      offset = 0;
    }
    if (bytes > max_record() || !HasRoom(need)) return nullptr;
    return buffer_.get() + offset + kHeader;
  }
  /// Hands over the first `bytes` of what the last Reserve gave; not more than were reserved.
  void Commit(size_t bytes) {
    size_t offset = static_cast<size_t>(write_) & (capacity_ - 1);
    *reinterpret_cast<uint64_t*>(buffer_.get() + offset) = bytes;
    write_ += kHeader + Padded(bytes);
    // release: pairs with the acquire in Drain; the record is complete before the reader sees it.
    write_position_.store(write_, std::memory_order_release);
  }
  void CountDrop() {
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  /// Calls visit(const std::byte* data, size_t size) for everything committed before the call, at
  /// most `max_records` (the rest stays). The bytes are valid during the call only. Returns how
  /// many.
  template <typename Visitor>
  size_t Drain(Visitor&& visit, size_t max_records = SIZE_MAX) {
    uint64_t read = read_position_.load(std::memory_order_relaxed);  // stored by this thread only
    const uint64_t end = write_position_.load(std::memory_order_acquire);  // pairs with Commit
    size_t records = 0;
    while (read != end && records < max_records) {
      // relaxed: written before the Commit that was seen above, and not again before all is read.
      if (read == rewind_from_.load(std::memory_order_relaxed)) {
        read = rewind_to_.load(std::memory_order_relaxed);
      }
      size_t offset = static_cast<size_t>(read) & (capacity_ - 1);
      uint64_t size = *reinterpret_cast<const uint64_t*>(buffer_.get() + offset);
      if (size == kSkip) {
        read += capacity_ - offset;
        continue;
      }
      visit(static_cast<const std::byte*>(buffer_.get() + offset + kHeader),
            static_cast<size_t>(size));
      read += kHeader + Padded(size);
      ++records;
    }
    // release: pairs with the acquire in Reserve; the bytes have been read before they are written
    // again.
    read_position_.store(read, std::memory_order_release);
    return records;
  }

  bool empty() const { return read_position_.load() == write_position_.load(); }
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kHeader = 8;
  static constexpr uint64_t kSkip = ~uint64_t{0};
  static constexpr size_t kRewindAfter = 16 << 10;
  static constexpr size_t Padded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }

  /// Is there room for `bytes` more? Looks at the reader's position only when the remembered one
  /// does not do.
  bool HasRoom(size_t bytes) {
    if (write_ + bytes - read_seen_ <= capacity_) return true;
    uint64_t read = read_position_.load(std::memory_order_acquire);  // pairs with Drain
    // Nothing lies before the last rewind, whether or not the reader has followed it yet.
    read_seen_ = std::max(read, rewind_to_.load(std::memory_order_relaxed));
    return write_ + bytes - read_seen_ <= capacity_;
  }
  /// The ring is empty: the next record goes to the beginning of the buffer. The reader is told by
  /// two numbers instead of a mark in the buffer, so that all of the buffer is free at once.
  void Rewind(size_t offset) {
    rewind_from_.store(write_, std::memory_order_relaxed);  // seen with the next Commit
    write_ += capacity_ - offset;
    rewind_to_.store(write_, std::memory_order_relaxed);
    read_seen_ = write_;
  }
  /// The rest of the buffer is too short for the next record.
  void SkipToStart(size_t offset) {
    *reinterpret_cast<uint64_t*>(buffer_.get() + offset) = kSkip;
    write_ += capacity_ - offset;
    write_position_.store(write_, std::memory_order_release);  // pairs with Drain
  }
  const size_t capacity_;
  const Pages buffer_;  // most of it is never touched; the threads of a model come and go with it
  // The writer's line.
  alignas(64) uint64_t write_ = 0;
  uint64_t read_seen_ = 0;
  std::atomic<uint64_t> write_position_{0};
  std::atomic<uint64_t> dropped_{0};  ///< stored by the writer only
  std::atomic<uint64_t> rewind_from_{UINT64_MAX};
  std::atomic<uint64_t> rewind_to_{0};
  // The reader's line.
  alignas(64) std::atomic<uint64_t> read_position_{0};
};

}  // namespace leadsman
