#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "stats/registry.h"

namespace leadsman {

/// Buckets of which two histograms can be had exactly, so that a request is counted once: one whose bounds are powers of two
/// of a nanosecond, as dashboards know it, and Prometheus's native one of schema 3 in seconds, eight bounds to each doubling.
/// Hence nine buckets to each octave (2^k, 2^(k + 1)] of nanoseconds: a native bound 2^(i / 8) s lies at the same eight places
/// in each. An upper bound belongs to its bucket, as Prometheus has it.
///
/// From 2^10 ns (1 µs; what is shorter is one bucket) to 2^37 ns (137 s; what is longer is in the last one).
struct FineLatencyScheme {
  static constexpr int kFirstOctave = 10;
  static constexpr int kEndOctave = 37;
  static constexpr size_t kParts = 9;
  /// The first one stands for all that is shorter, in its part 0.
  static constexpr size_t kOctaves = kEndOctave - kFirstOctave + 1;
  static constexpr size_t kBuckets = kOctaves * kParts;

  struct Place {
    size_t octave, part;
    size_t index() const { return octave * kParts + part; }
  };
  static constexpr Place PlaceOf(uint64_t ns) {
    if (ns <= (1ull << kFirstOctave)) return {0, 0};
    if (ns > (1ull << kEndOctave)) return {kOctaves - 1, kParts - 1};
    const int octave = 63 - std::countl_zero(ns - 1);
    // Of the eight equal parts of an octave the first has two native bounds and the last has none.
    const size_t eighth = ((ns - 1) >> (octave - 3)) & 7;
    const uint64_t scaled = ns << (62 - octave);  // in (2^62, 2^63]
    const size_t part =
        eighth + (scaled > kEdges[0] ? 1 : 0) + (scaled > kEdges[eighth + 1] ? 1 : 0);
    return {static_cast<size_t>(octave - kFirstOctave + 1), part};
  }

  static constexpr int kSchema = 3;
  /// The native bucket of a part of an octave but the first.
  static constexpr int NativeBucket(size_t octave, size_t part) {
    return 8 * (static_cast<int>(octave) - 1 + kFirstOctave) - kNativeShift +
           static_cast<int>(part);
  }

 private:
  /// 10^9 / 2^29 · 2^(-j / 8), j = 7 … 0, of 2^62, rounded down: the native bounds in an octave. And one that is never passed.
  static constexpr std::array<uint64_t, 9> kEdges = {
      0x40ffd3d4aa4e5371, 0x46e1dc4b00b253ec, 0x4d4c3382a6a891c8,
      0x544b2fba5f832838, 0x5bec4509686ecf50, 0x643e1f3e81e6df61,
      0x6d50be1668caaaed, 0x7735940000000000, ~0ull};
  /// 10^9 is 2^(29 + 7.179 / 8): one second, the upper bound of native bucket 0, is in part 7 of octave 29.
  static constexpr int kNativeShift = 8 * 29 + 7;
};

using FineLatencyBuckets = std::array<uint64_t, FineLatencyScheme::kBuckets>;

/// What it has counted, as a native histogram.
std::shared_ptr<const NativeHistogram> ToNative(const FineLatencyBuckets& buckets);

/// With a bound at each power of two of a nanosecond from 2^first to 2^last, and the native form. `sum_seconds` is the exact
/// sum that the owner of the buckets kept beside them.
MetricSample FineLatencySample(std::vector<std::string> label_values,
                               const FineLatencyBuckets& buckets, double sum_seconds, int first,
                               int last);

}  // namespace leadsman
