#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "math/independence.h"

namespace leadsman {

class ByteReader;
class ByteWriter;

/// Evidence from ranks by the e-detector of Shiryaev and Roberts (Shin, Ramdas and Rinaldo, New
/// England Journal of Statistics in Data Science 2024). After each look every bet has
///
///     M <- (M + 1) e(u),
///
/// where u in (0, 1) is the rank of what was seen among what is usual. While nothing has changed u is
/// uniform, each e has mean at most 1 and M - looks is a supermartingale. Hence, for the mean of the
/// bets: alarms at M >= c come on average no sooner than every c looks, and within H looks with
/// probability at most H/c. A change is found from whenever it begins; evidence of long ago does
/// not have to be undone first.
///
/// Bets upwards: 1 + 0.25 (2u-1), 1 + 0.5 (2u-1), 2u, 4u^3; downwards the same of 1 - u. All rise
/// with u, so a null that allows for a tolerance holds, and all are convex, so ties (u at the middle
/// of equal ones) only lower them.
///
/// A value: copyable, not thread-safe. 64 bytes, some nanoseconds a look.
class RankEvidence {
 public:
  enum class Side { kBoth, kUp, kDown };

  explicit RankEvidence(Side side = Side::kBoth) : side_(side) {}
  /// `up` is high when what was seen is high, `down` is high when it is low. Of one side only the
  /// other number is not looked at.
  void Look(double up, double down);
  /// M, at most 1e300.
  double Value() const;
  /// M to each side: which way it went.
  double Upward() const { return Mean(up_); }
  double Downward() const { return Mean(down_); }
  Side side() const { return side_; }
  /// After an alarm.
  void Reset();

  /// As part of a byte form; what is read and cannot be marks the bytes as bad.
  void Write(ByteWriter& out) const;
  void Read(ByteReader& in);

  friend bool operator==(const RankEvidence&, const RankEvidence&) = default;

 private:
  using Bets = std::array<double, 4>;
  static void Look(Bets& bets, double u);
  static double Mean(const Bets& bets);

  Side side_;
  Bets up_{}, down_{};
};

/// Finds a change of one number that is known per block of requests: the mean of a feature or of the
/// score, the logarithm of its spread, the share of a class, of missing values, of errors. Looks at
/// the rank of each new block among the reference's.
///
/// Blocks, not requests, since requests depend on each other: with an autocorrelation of 0.5 a
/// detector of single requests alarms in 92 % of all clean runs. Make blocks of BlockLength()
/// requests; whether that was enough is checked on the reference (`independence()`), and if not, the
/// bound is not `guaranteed()`.
///
/// H0: the number is as in the reference, or moved by no more than `tolerance` (in its own units).
/// Upwards a new block is compared as if moved back down by the tolerance, downwards as if moved back
/// up: two tests of one side, each against its own end of H0, their evidence averaged. The reference
/// stays as it is, so that no drift is followed however slow it is.
///
/// A finite reference is not quite what it is taken from. Its ranks are lowered by a third of their
/// standard error, and later blocks may correct its mean by at most two standard errors of it, only towards
/// less evidence: a mean that was caught too low is soon seen to be, while a shift well beyond the
/// tolerance and those two errors stays one for as long as it lasts. Smaller shifts need a longer
/// reference.
///
/// Simulated (AR(1), blocks of 200 requests, 1000 of them the reference, tolerance 0, c = 4000), a shift
/// of 0.1 (0.2) standard deviations of single requests takes 12 (8) blocks to find for independent
/// requests, 27 (10) at an autocorrelation of 0.5, 116 (36) at 0.9, in the median; at most 2 % of clean runs
/// of 200 looks alarm where 5 % are promised.
///
/// Externally synchronised. 8 bytes a block, at most 128 KiB. No clock, no randomness: the same blocks
/// give the same evidence.
class BlockDetector {
 public:
  static constexpr size_t kMaxBlocks = 16384;

  struct Options {
    double tolerance = 0;
    RankEvidence::Side side = RankEvidence::Side::kBoth;
    friend bool operator==(const Options&, const Options&) = default;
  };

  /// `reference` in order of time; of more than kMaxBlocks the last ones. Blocks that are not finite
  /// (a mean of nothing) are left out, here and later.
  BlockDetector(std::span<const double> reference, Options options);

  void Look(double block);
  /// Compare with AlarmBudget's threshold.
  double evidence() const { return evidence_.Value(); }
  const RankEvidence& sides() const { return evidence_; }
  void Reset() { evidence_.Reset(); }

  double tolerance() const { return options_.tolerance; }
  const IndependenceCheck& independence() const { return independence_; }
  /// The bound on false alarms was shown for this: the reference's blocks are independent of each other.
  bool guaranteed() const { return independence_.independent(); }
  size_t reference_blocks() const { return reference_.size(); }

  /// The same question: reference, tolerance and side are those of the other one.
  bool Asks(const BlockDetector& other) const {
    return options_ == other.options_ && reference_ == other.reference_;
  }

  /// All of it, 8 bytes a block: what is read goes on where it was written. Parse takes any bytes and
  /// gives nothing for those that ToBytes did not write.
  std::string ToBytes() const;
  static std::optional<BlockDetector> Parse(std::string_view bytes);

  friend bool operator==(const BlockDetector&, const BlockDetector&) = default;

 private:
  void Summarise();
  /// The share of the reference below the block, or downwards above it, lowered by its uncertainty.
  double CautiousRank(double block, bool downwards) const;

  Options options_;
  IndependenceCheck independence_;
  std::vector<double> reference_;  ///< ascending
  double mean_ = 0, error_ = 0;    ///< of the reference: its mean, and the standard error of that
  double later_ = 0, later_mean_ = 0;  ///< blocks since, as many as are remembered
  RankEvidence evidence_;
};

}  // namespace leadsman
