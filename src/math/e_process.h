#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace leadsman {

/// What one arm did in one window: how many chances for a bad event there were, and how many became
/// one.
struct ArmCounts {
  uint64_t exposure = 0;  ///< requests, or labelled rows
  uint64_t events = 0;    ///< of these, bad ones
  friend bool operator==(const ArmCounts&, const ArmCounts&) = default;
};

/// What both arms did until each had enough exposure to measure the candidate's share by. A tick of
/// a quiet service sees a request or two: of one arm only (no evidence at all, HarmTest), or of both
/// with a share that says more about chance than about the split, which costs up to a third of the
/// power. So ticks are gathered until both arms have kEnough exposures; the e-processes take the
/// sum as one window.
///
/// When a window ends depends on exposures alone, never on events: given the exposures and the
/// total of events, the candidate's part is hypergeometric for the sum as it is for each tick, as
/// long as requests were split at random by one share. Where the share was changed, the owner takes
/// the window as it stands.
struct EvidenceWindow {
  /// 4: simulated, the delays of docs and tests hold within 15 %; with fewer the share is too rough,
  /// with more a version that fails every time is found later.
  static constexpr uint64_t kEnough = 4;

  ArmCounts candidate, stable;

  void Add(const ArmCounts& candidate_part, const ArmCounts& stable_part);
  bool Full() const { return candidate.exposure >= kEnough && stable.exposure >= kEnough; }
  friend bool operator==(const EvidenceWindow&, const EvidenceWindow&) = default;
};

/// E-processes: evidence that may be looked at after every window, for as long as one likes. Each
/// starts at e = 1 and has mean at most 1 while its null hypothesis holds, so by Ville's inequality
/// it *ever* reaches 1/alpha with probability at most alpha. All here mix likelihood ratios over a
/// grid of alternatives with uniform weights; the state is one natural logarithm per grid point, so
/// that windows only add to it. A window without events changes nothing.
///
/// Values: copyable, comparable bit for bit, not thread-safe. The grid is fixed at construction.
class GridEProcess {
 public:
  /// ln of the e-value now.
  double log_e() const;

  /// For the journal: the state and the way back. `logs` of another size than the grid is refused
  /// (false).
  std::span<const double> logs() const { return logs_; }
  bool SetLogs(std::span<const double> logs);

  friend bool operator==(const GridEProcess&, const GridEProcess&) = default;

 protected:
  explicit GridEProcess(std::vector<double> grid);
  std::vector<double> grid_;
  std::vector<double> logs_;
};

/// Harm. H0: the candidate's event rate is not higher than the stable's (rate ratio RR <= 1).
///
/// Exposure-conditioned form: given both arms' exposures in a short window and the total of its
/// events, the candidate's part is hypergeometric under H0; Hoeffding (1963, theorem 4) bounds the
/// mean of any convex function of it by that of a binomial with the *measured* share rho = n_c /
/// (n_c + n_b). With theta(r) = rho r / (rho r + 1 - rho) the factor is
///     sum over g of w_g (theta(g)/rho)^s_c ((1 - theta(g))/(1 - rho))^s_b
/// over 24 log-spaced rate ratios g in [1.1, 20] (after Lindon & Malek, NeurIPS 2022; Hoeffding,
/// JASA 1963). It needs no knowledge of the configured split and stays valid under ramps, wrong
/// splits and incidents that hit both arms. A window in which one arm had no exposure is no
/// evidence: factor 1. Windows of a few requests are to be gathered first (EvidenceWindow).
class HarmTest : public GridEProcess {
 public:
  HarmTest();
  void Update(const ArmCounts& candidate, const ArmCounts& stable);
  /// The same with a share known beforehand (not measured in the window): for looking after every
  /// single event.
  void UpdateWithShare(double candidate_share, uint64_t candidate_events, uint64_t stable_events);
};

/// Safety. H0: the candidate's event rate is at least `margin` times the stable's (RR >= margin,
/// margin > 1). As HarmTest, with the likelihood ratio of theta(r) against theta(margin), r below
/// the margin. The mixture puts most of its weight near r = 1, since an equal candidate is what has
/// to be told from one at the margin. Exact for rare events; at high rates the true law is narrower
/// than the binomial, so that the test errs on the safe side (simulated in the tests up to a rate
/// of 30 %).
class SafeTest : public GridEProcess {
 public:
  explicit SafeTest(double margin);
  void Update(const ArmCounts& candidate, const ArmCounts& stable);
  double margin() const { return margin_; }
  friend bool operator==(const SafeTest&, const SafeTest&) = default;

 private:
  double margin_;
};

/// Good enough, whatever the stable does. H0: the candidate's event rate is at least `floor`, 0 <
/// floor < 1. Bernoulli likelihood ratios of rates below the floor, zero among them.
class FloorTest : public GridEProcess {
 public:
  explicit FloorTest(double floor);
  void Update(const ArmCounts& candidate);
  double floor() const { return floor_; }
  friend bool operator==(const FloorTest&, const FloorTest&) = default;

 private:
  double floor_;
};

/// ln of the mean of e-values given by their logarithms, without overflow. The mean of e-processes
/// is an e-process whatever their dependence: used for the latency mixture over thresholds, and for
/// "not worse, or good enough anyway", whose null is that both nulls hold.
double LogMeanExp(std::span<const double> logs);

/// How long it will take, before it starts. Wald's approximation with the mixture's price, checked
/// against simulation: events needed ~ (ln(1/alpha) + 1.2) / KL(truth || null).
namespace planning {

/// Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q) in nats.
double BernoulliKl(double p, double q);

/// Candidate exposures until HarmTest reaches `log_bound`, typically; share, p_c and p_b in (0, 1),
/// p_c > p_b. Infinity when it will not.
double HarmExposure(double log_bound, double share, double candidate_rate, double stable_rate);

/// Candidate exposures until a candidate as good as the stable has passed the mean of SafeTest and
/// FloorTest (floor 0: SafeTest alone). Infinity when it will not, e.g. no events ever and no
/// floor.
double SafeExposure(double log_bound, double share, double rate, double margin, double floor);

}  // namespace planning
}  // namespace leadsman
