#pragma once

#include <cstdint>

namespace leadsman {

/// Whether requests are split as they are meant to be. H0: each of them goes to the candidate by chance, with a probability
/// between share (1 - kTolerance) and share (1 + kTolerance) — of a share above a half, the stable version's between the
/// same around 1 - share.
///
/// An e-process, so it may be looked at after every request: a mixture over all shares (Beta with the weight of kWeight
/// requests around the one that is meant; after Lindon & Malek, "Anytime-valid inference for multinomial count data",
/// NeurIPS 2022, which watches assignments to experiments by it) against the best that H0 can say of the same counts. Under
/// H0 it ever reaches 1/alpha with probability at most alpha (Ville). The tolerance is there because no split is exact: what
/// is under way when a request is counted, and what a router rounds, is no mismatch that anybody has to look for.
///
/// A value of two counts: what came of one share. Another share begins with another one.
struct SampleRatio {
  static constexpr double kTolerance = 0.02;
  static constexpr double kWeight = 100;

  uint64_t candidate = 0, stable = 0;  ///< requests

  /// ln of the e-value; 0 < share < 1, otherwise 0. `tolerance` for tests of this one.
  double LogE(double share, double tolerance = kTolerance) const;

  friend bool operator==(const SampleRatio&, const SampleRatio&) = default;
};

}  // namespace leadsman
