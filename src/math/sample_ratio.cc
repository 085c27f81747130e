#include "math/sample_ratio.h"

#include <algorithm>
#include <cmath>

#include "math/special_functions.h"

namespace leadsman {
namespace {

/// ln of p^n, with 0^0 = 1.
double LogPower(double p, double n) { return n == 0 ? 0 : n * std::log(p); }

}  // namespace

double SampleRatio::LogE(double share, double tolerance) const {
  const auto mine = static_cast<double>(candidate), theirs = static_cast<double>(stable);
  if (!(share > 0 && share < 1) || mine + theirs == 0) return 0;
  const double a = kWeight * share, b = kWeight * (1 - share);
  const double mixture = LogBeta(a + mine, b + theirs) - LogBeta(a, b);
  const double slack = tolerance * std::min(share, 1 - share);
  const double best = std::clamp(mine / (mine + theirs), share - slack, share + slack);
  return mixture - LogPower(best, mine) - LogPower(1 - best, theirs);
}

}  // namespace leadsman
