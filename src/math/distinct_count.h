#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// How many different values there were. Exact up to kMaxExact, which it keeps the hashes of; beyond
/// that HyperLogLog with 4096 registers: standard error 1.04/sqrt(4096) = 1.6 %, at any size. The
/// estimator is Ertl's (arXiv 1702.01284, section 4.3), unbiased over the whole range, so that it
/// needs neither a table of corrections nor a switch to linear counting.
///
/// Values come as SketchHash(value). Merging is exact, in any order: two merged equal one that saw
/// all values. Memory: 1 KiB while exact, then 4 KiB. Externally synchronised.
class DistinctCount {
 public:
  static constexpr size_t kMaxExact = 128;
  static constexpr int kRegisterBits = 12;
  static constexpr size_t kRegisters = size_t{1} << kRegisterBits;
  static constexpr double kStandardError = 1.04 / 64;

  void Add(uint64_t hash);
  void Merge(const DistinctCount& other);
  double Estimate() const;
  bool exact() const { return registers_.empty(); }

  /// 8 bytes a hash while exact, then 3 KiB. Parse takes any bytes and gives nothing for those that
  /// ToBytes did not write.
  std::string ToBytes() const;
  static std::optional<DistinctCount> Parse(std::string_view bytes);

  friend bool operator==(const DistinctCount&, const DistinctCount&) = default;

 private:
  void Register(uint64_t hash);

  std::vector<uint64_t> hashes_;    ///< ascending; empty once there are registers
  std::vector<uint8_t> registers_;  ///< empty while exact
};

}  // namespace leadsman
