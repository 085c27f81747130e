#include "math/poisson_interval.h"

#include "math/special_functions.h"

namespace leadsman {

std::pair<double, double> PoissonInterval(uint64_t count, double level) {
  const double tail = (1 - level) / 2, twice = 2 * static_cast<double>(count);
  return {count == 0 ? 0 : ChiSquareQuantile(1 - tail, twice) / 2,
          ChiSquareQuantile(tail, twice + 2) / 2};
}

}  // namespace leadsman
