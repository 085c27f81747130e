#pragma once

#include <cstdint>

#include "math/e_process.h"

namespace leadsman {

/// What one arm's losses come to in one window: errors in size, squared errors, log losses, Brier scores. Each is taken as a share of
/// the highest loss that counts: what is above it counts as that, and is counted. Sums add up, whoever has made them.
///
///   LossSums window;
///   window.Add(std::abs(predicted - label), 50);
struct LossSums {
  uint64_t count = 0;
  double sum = 0;        ///< of shares, each from 0 to 1
  double squares = 0;    ///< of these, squared
  uint64_t clipped = 0;  ///< losses above the highest, or no number

  /// `highest` > 0. A negative loss counts as 0, one that is no number as the highest.
  void Add(double loss, double highest);
  void Add(const LossSums& other);
  /// What came since these sums, which are of the same losses.
  void Subtract(const LossSums& earlier);
  /// 0 without losses.
  double Mean() const;
  /// Standard deviation of one loss; 0 without losses.
  double Spread() const;
  friend bool operator==(const LossSums&, const LossSums&) = default;
};

/// E-processes for means of losses that lie between 0 and 1, from a window's sums alone: the empirical Bernstein bet (Howard, Ramdas,
/// McAuliffe and Sekhon, Annals of Statistics 2021; Waudby-Smith and Ramdas, JRSSB 2024). With psi(l) = -ln(1 - l) - l, for a loss X
/// with mean m and any number c from 0 to 1 that was known before it,
///
///     E exp(+-l (X - m) - psi(l) (X - c)^2) <= 1,      0 <= l < 1
///
/// (Fan, Grama and Liu, 2015: exp(l x - psi(l) x^2) <= 1 + l x for x >= -1). c is the arm's mean before the window (its first ten losses
/// are for that alone), so that what is paid is the losses' real spread, however narrow it is within the range. Both arms' factors are multiplied with bets for which
/// the unknown means cancel under H0 whatever they are in the window: as with rates (HarmTest) an incident that hits both arms, a
/// drift or a ramp is no difference. 24 log-spaced bets from 0.003 to 0.95 are mixed.
///
/// H0 is about means given the exposures: which losses come must not depend on how large they are, other than by version. A window
/// in which one arm has none is no evidence. Nothing is asymptotic.
class MeanEProcess : public GridEProcess {
 public:
  /// What both arms have had so far, which the next window is centred by. For the journal, with logs().
  struct Seen {
    LossSums candidate, stable;
    friend bool operator==(const Seen&, const Seen&) = default;
  };
  const Seen& seen() const { return seen_; }
  /// False, and nothing changed, when the logarithms are of another grid.
  bool Set(std::span<const double> logs, const Seen& seen);

  friend bool operator==(const MeanEProcess&, const MeanEProcess&) = default;

 protected:
  MeanEProcess();
  /// H0: the candidate's mean is at most (`more`), or at least, `ratio` times the stable's.
  void Compare(const LossSums& candidate, const LossSums& stable, double ratio, bool more);
  /// H0: the candidate's mean is at most (`more`), or at least, `bound`.
  void Hold(const LossSums& candidate, double bound, bool more);

 private:
  Seen seen_;
};

/// Harm. H0: the candidate's mean loss is not higher than the stable's.
class MeanHarmTest : public MeanEProcess {
 public:
  MeanHarmTest() = default;
  void Update(const LossSums& candidate, const LossSums& stable);
  /// H0: it is not above `bound`, a share of the highest loss. Of one test either this or the other.
  void UpdateAgainst(double bound, const LossSums& candidate);
};

/// Safety. H0: the candidate's mean loss is at least `margin` times the stable's, margin > 1.
class MeanSafeTest : public MeanEProcess {
 public:
  explicit MeanSafeTest(double margin);
  void Update(const LossSums& candidate, const LossSums& stable);
  double margin() const { return margin_; }
  friend bool operator==(const MeanSafeTest&, const MeanSafeTest&) = default;

 private:
  double margin_;
};

/// Good enough, whatever the stable does. H0: the candidate's mean loss is at least `floor`, a share of the highest, 0 < floor < 1.
class MeanFloorTest : public MeanEProcess {
 public:
  explicit MeanFloorTest(double floor);
  void Update(const LossSums& candidate);
  double floor() const { return floor_; }
  friend bool operator==(const MeanFloorTest&, const MeanFloorTest&) = default;

 private:
  double floor_;
};

/// As for rates. Losses are shares of the highest; `spread` is the standard deviation of one of them, in both arms.
namespace planning {

/// Candidate exposures until MeanHarmTest reaches `log_bound`, typically, when the candidate's mean is higher by `difference`; share
/// in (0, 1). Infinity when it will not.
double MeanHarmExposure(double log_bound, double share, double difference, double spread);

/// Candidate exposures until a candidate with the stable's mean has passed the mean of MeanSafeTest and MeanFloorTest (floor 0:
/// MeanSafeTest alone). Infinity when it will not.
double MeanSafeExposure(double log_bound, double share, double mean, double spread, double margin,
                        double floor);

/// The least difference that MeanHarmTest finds within so many candidate exposures, typically. Infinity: none, as it would be above 1.
double SmallestMeanHarm(double log_bound, double share, double spread, double exposures);

}  // namespace planning
}  // namespace leadsman
