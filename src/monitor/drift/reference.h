#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "math/quantile_sketch.h"
#include "math/reference_bins.h"
#include "monitor/class_counts.h"

namespace leadsman {

/// Where a reference came from.
enum class ReferenceFrom : uint8_t { kFirstRequests, kFile, kStable, kWindow };
/// "first_requests", "file", "stable", "window"
std::string_view ReferenceFromName(ReferenceFrom from);

/// The rows of one block added up. Numbers are kept as differences from `shift` of the reference (or
/// of the first row), so that large values with a small spread lose nothing. A value: copyable.
struct BlockSums {
  struct Number {
    double sum = 0;
    double squares = 0;
    uint32_t finite = 0;
    void Merge(const Number& other);
    friend bool operator==(const Number&, const Number&) = default;
  };
  uint32_t rows = 0;
  uint32_t answers = 0;  ///< predictions with a class, of all rows
  std::vector<Number> numbers;
  std::vector<uint32_t> classes;  ///< by index of a ClassTable

  void AddClass(size_t index);
  void Merge(const BlockSums& other);
  /// Keeps its size.
  void Clear();
};

/// One tracked number of the rows: an input value, a property of a wide input, a score.
struct ReferenceNumber {
  std::string name;
  double mean = 0;
  double sigma = 0;
  /// Rows that weigh as one independent row (math/independence.h): what sample sizes are divided by
  /// before a noise floor is asked.
  double memory = 1;
  double shift = 0;  ///< of BlockSums
  uint64_t missing = 0;
  QuantileSketch sketch;  ///< of the values that are not missing; min and max are its
  ReferenceBins bins;
  BinnedCounts counts{bins};

  double missing_share() const;
  friend bool operator==(const ReferenceNumber&, const ReferenceNumber&) = default;
};

/// A stream of one number per block, which a BlockDetector watches.
struct ReferenceStream {
  enum class Kind : uint8_t {
    kMean,     ///< of numbers[of]
    kSpread,   ///< logarithm of the standard deviation of numbers[of]
    kMissing,  ///< the most by which the share of missing values of any number is above its own
    kShare,    ///< of classes[of] among the answers
    kOthers,   ///< of all classes that have no stream of their own
  };
  Kind kind = Kind::kMean;
  uint32_t of = 0;
  std::vector<double> blocks;  ///< of the reference, in order of time; NaN: nothing in this block
  double centre = 0;           ///< mean of the finite ones
  double deviation = 0;        ///< their standard deviation
  friend bool operator==(const ReferenceStream&, const ReferenceStream&) = default;
};

/// What later rows are compared with: the distribution of every number and class, and per stream the
/// series of blocks. Made by ReferenceBuilder, immutable then, kept with the monitor's data.
struct Reference {
  static constexpr size_t kMaxNumbers = 64;
  static constexpr size_t kMaxBlocks = 8192;
  static constexpr size_t kMaxClassStreams = 8;

  ReferenceFrom from = ReferenceFrom::kFirstRequests;
  int64_t taken_ms = 0;  ///< when it was complete
  uint64_t rows = 0;
  uint32_t block_rows = 0;  ///< rows of a block
  bool wide = false;  ///< numbers are properties of rows too wide to be watched value by value
  std::vector<ReferenceNumber> numbers;
  std::vector<std::string> classes;  ///< the most frequent first
  std::vector<uint64_t> class_counts;
  std::vector<ReferenceStream> streams;

  uint64_t answers() const;
  /// "age", "age.spread", "missing", "class 7", "other classes".
  std::string StreamName(const ReferenceStream& stream) const;
  /// What the stream's number is of these rows; NaN when of nothing. Classes in `sums` are counted by
  /// the index of `classes`, all others behind them.
  /// `unmet`: numbers, by a 1 each, that the rows are not known to have at all; they are not missing.
  double ValueOf(const ReferenceStream& stream, const BlockSums& sums,
                 std::span<const uint8_t> unmet = {}) const;

  /// With a version. Parse takes any bytes and gives nothing for those that ToBytes did not write.
  std::string ToBytes() const;
  static std::optional<Reference> Parse(std::string_view bytes);

  friend bool operator==(const Reference&, const Reference&) = default;
};

/// Collects rows into a Reference. Bounded: blocks are joined in pairs beyond kMaxBlocks.
/// Externally synchronised.
class ReferenceBuilder {
 public:
  static constexpr uint32_t kFewestRows = 50;  ///< of a block

  explicit ReferenceBuilder(std::vector<std::string> names);

  /// `numbers` as many as names; NaN: missing. No class: no answer.
  void Add(std::span<const float> numbers, std::span<const std::string_view> classes);
  /// Rows have more numbers from here on: `names` of all; those so far are not among the new ones.
  void Widen(const std::vector<std::string>& names);
  uint64_t rows() const { return rows_; }

  /// Blocks are made as long as the memory of the rows needs (BlockLength), as multiples of what was
  /// collected; a rest at the end has no block.
  Reference Build(ReferenceFrom from, int64_t now_ms) const;

 private:
  struct Number {
    std::string name;
    double shift = 0;
    bool begun = false;
    uint64_t missing = 0;
    QuantileSketch sketch;
  };
  void CloseBlock();
  double MemoryOf(size_t number) const;

  std::vector<Number> numbers_;
  ClassTable classes_;
  uint64_t rows_ = 0;
  uint32_t block_rows_ = kFewestRows;
  BlockSums open_;
  std::vector<BlockSums> blocks_;
};

}  // namespace leadsman
