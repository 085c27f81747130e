#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace leadsman {

/// The one bucket scheme of all latency histograms, so that any two can be added: log-linear over
/// nanoseconds, eight buckets to each doubling (width at most 12.5 % of the value), from 1 µs to 68
/// s; below and above go to the first and last bucket. Bucket i holds values in [LowerEdge(i),
/// LowerEdge(i + 1)).
struct LatencyScheme {
  static constexpr int kSubBits = 3;
  static constexpr int kFirstOctave = 10;  ///< 2^10 ns ≈ 1 µs
  static constexpr int kLastOctave = 36;   ///< 2^36 ns ≈ 68.7 s
  static constexpr size_t kBuckets = size_t{kLastOctave - kFirstOctave} << kSubBits;

  static constexpr size_t Index(uint64_t ns) {
    if (ns < (1ull << kFirstOctave)) return 0;
    if (ns >= (1ull << kLastOctave)) return kBuckets - 1;
    int octave = 63 - std::countl_zero(ns);
    auto sub = static_cast<size_t>(ns >> (octave - kSubBits)) & ((1u << kSubBits) - 1);
    return (static_cast<size_t>(octave - kFirstOctave) << kSubBits) + sub;
  }
  /// In nanoseconds. LowerEdge(0) stands for 0.
  static constexpr uint64_t LowerEdge(size_t index) {
    auto octave = static_cast<int>(index >> kSubBits) + kFirstOctave;
    uint64_t sub = index & ((1u << kSubBits) - 1);
    return (1ull << octave) + (sub << (octave - kSubBits));
  }
};

using LatencyBuckets = std::array<uint64_t, LatencyScheme::kBuckets>;

}  // namespace leadsman
