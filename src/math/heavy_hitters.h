#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace leadsman {

/// The most frequent values of a stream in bounded memory: SpaceSaving (Metwally, Agrawal and El
/// Abbadi, ICDT 2005), which keeps `capacity` values; a new one takes the place of the rarest kept
/// one and its count with it. Per value there are bounds that always hold:
///
///     at_least <= true count <= at_most,    at_most - at_least <= total / capacity
///
/// and a value that is not kept occurred at most `Unseen()` times, so whatever makes up more than
/// 1/capacity of the stream is kept. Exact as long as there were no more than `capacity` different
/// values.
///
/// Merging (Cafaro, Tempesta and Pulimeno, 2016) keeps these bounds for the whole; the kept values
/// may then differ from those of one sketch that saw everything, unless it is exact. Values longer
/// than kMaxKeyBytes are told apart by a hash of their end. Memory: about 100 bytes a value and its
/// text. Externally synchronised.
class HeavyHitters {
 public:
  static constexpr size_t kMaxCapacity = 1024;
  static constexpr size_t kMaxKeyBytes = 96;

  struct Value {
    std::string key;
    uint64_t at_most = 0, at_least = 0;
    friend bool operator==(const Value&, const Value&) = default;
  };

  /// 1 <= capacity <= kMaxCapacity.
  explicit HeavyHitters(size_t capacity);

  void Add(std::string_view key, uint64_t count = 1);
  /// Of two capacities the result has the smaller.
  void Merge(const HeavyHitters& other);

  /// The `n` most frequent by at_most, those of equal count by name.
  std::vector<Value> Top(size_t n) const;
  uint64_t Unseen() const { return full() ? counts_[heap_[0]] : 0; }
  uint64_t total() const { return total_; }
  size_t size() const { return keys_.size(); }
  size_t capacity() const { return capacity_; }

  /// The values, most frequent first. Parse takes any bytes and gives nothing for those that ToBytes
  /// did not write.
  std::string ToBytes() const;
  static std::optional<HeavyHitters> Parse(std::string_view bytes);

  /// The same values with the same bounds.
  friend bool operator==(const HeavyHitters& a, const HeavyHitters& b) {
    return a.capacity_ == b.capacity_ && a.total_ == b.total_ &&
           a.Top(a.capacity_) == b.Top(b.capacity_);
  }

 private:
  bool full() const { return keys_.size() == capacity_; }
  void AddKey(std::string key, uint64_t count, uint64_t error);
  void Assign(std::vector<Value> values);
  void Sink(size_t place);
  void Rise(size_t place);
  void Swap(size_t a, size_t b);

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const;
  };

  size_t capacity_;
  uint64_t total_ = 0;
  // Slot i: its key, count and error, and where it is in the heap of slots, rarest on top.
  std::vector<std::string> keys_;
  std::vector<uint64_t> counts_, errors_;
  std::vector<uint32_t> heap_, place_;
  std::unordered_map<std::string, uint32_t, TextHash, std::equal_to<>> slots_;
};

}  // namespace leadsman
