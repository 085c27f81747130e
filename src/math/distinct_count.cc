#include "math/distinct_count.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kKind = 'D';
constexpr uint8_t kVersion = 1;
constexpr int kRankBits = 64 - DistinctCount::kRegisterBits;
constexpr uint8_t kMaxRank = kRankBits + 1;

/// Ertl's sigma: what the registers that nothing reached say. Infinite for x = 1.
double Sigma(double x) {
  if (x >= 1) return std::numeric_limits<double>::infinity();
  double y = 1, z = x, before = -1;
  while (z != before) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

/// Ertl's tau: what the registers that can go no higher say.
double Tau(double x) {
  if (x <= 0 || x >= 1) return 0;
  double y = 1, z = 1 - x, before = -1;
  while (z != before) {
    x = std::sqrt(x);
    before = z;
    y /= 2;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

}  // namespace

void DistinctCount::Register(uint64_t hash) {
  // The first bits choose the register, the place of the first one among the others is its rank.
  uint64_t rest = hash << kRegisterBits;
  auto rank = static_cast<uint8_t>(std::min(std::countl_zero(rest), kRankBits) + 1);
  uint8_t& highest = registers_[hash >> kRankBits];
  highest = std::max(highest, rank);
}

void DistinctCount::Add(uint64_t hash) {
  if (!registers_.empty()) return Register(hash);
  auto at = std::lower_bound(hashes_.begin(), hashes_.end(), hash);
  if (at != hashes_.end() && *at == hash) return;
  if (hashes_.size() < kMaxExact) {
    hashes_.insert(at, hash);
    return;
  }
  registers_.assign(kRegisters, 0);
  for (uint64_t known : hashes_) Register(known);
  hashes_ = {};
  Register(hash);
}

void DistinctCount::Merge(const DistinctCount& other) {
  if (other.registers_.empty()) {
    for (uint64_t hash : other.hashes_) Add(hash);
    return;
  }
  std::vector<uint64_t> hashes = std::move(hashes_);
  hashes_ = {};
  if (registers_.empty()) registers_.assign(kRegisters, 0);
  for (uint64_t hash : hashes) Register(hash);
  for (size_t i = 0; i < kRegisters; ++i) {
    registers_[i] = std::max(registers_[i], other.registers_[i]);
  }
}

double DistinctCount::Estimate() const {
  if (registers_.empty()) return static_cast<double>(hashes_.size());
  std::array<double, kMaxRank + 1> registers_at{};
  for (uint8_t rank : registers_) ++registers_at[rank];
  constexpr double kM = kRegisters;
  double z = kM * Tau(1 - registers_at[kMaxRank] / kM);
  for (int rank = kRankBits; rank >= 1; --rank) z = (z + registers_at[rank]) / 2;
  z += kM * Sigma(registers_at[0] / kM);
  // Every register at its end: more than the hash can tell apart.
  if (z <= 0) return std::ldexp(1.0, 64);
  return kM * kM / (2 * std::numbers::ln2 * z);
}

std::string DistinctCount::ToBytes() const {
  ByteWriter out(kKind, kVersion);
  out.Byte(!exact());
  if (exact()) {
    out.Varint(hashes_.size());
    for (uint64_t hash : hashes_) out.Fixed64(hash);
    return std::move(out).Take();
  }
  for (size_t i = 0; i < kRegisters; i += 4) {  // four of six bits in three bytes
    uint32_t four = 0;
    for (size_t j = 0; j < 4; ++j) four |= static_cast<uint32_t>(registers_[i + j]) << (6 * j);
    for (int shift = 0; shift < 24; shift += 8) out.Byte(static_cast<uint8_t>(four >> shift));
  }
  return std::move(out).Take();
}

std::optional<DistinctCount> DistinctCount::Parse(std::string_view bytes) {
  ByteReader in(bytes, kKind, kVersion);
  DistinctCount distinct;
  uint8_t has_registers = in.Byte();
  if (has_registers > 1) return std::nullopt;
  if (!has_registers) {
    uint64_t size = in.Varint();
    if (!in.ok() || size > kMaxExact) return std::nullopt;
    for (uint64_t i = 0; i < size; ++i) {
      uint64_t hash = in.Fixed64();
      if (i > 0 && hash <= distinct.hashes_.back()) return std::nullopt;
      distinct.hashes_.push_back(hash);
    }
  } else {
    distinct.registers_.assign(kRegisters, 0);
    for (size_t i = 0; in.ok() && i < kRegisters; i += 4) {
      uint32_t four = 0;
      for (int shift = 0; shift < 24; shift += 8) four |= static_cast<uint32_t>(in.Byte()) << shift;
      for (size_t j = 0; j < 4; ++j) {
        auto rank = static_cast<uint8_t>((four >> (6 * j)) & 63);
        if (rank > kMaxRank) in.Fail();
        distinct.registers_[i + j] = rank;
      }
    }
  }
  if (!in.Finished()) return std::nullopt;
  return distinct;
}

}  // namespace leadsman
