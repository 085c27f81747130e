#pragma once

#include <cstdint>
#include <utility>

namespace leadsman {

/// What the mean of a Poisson count lies between that came out as `count`: Garwood's interval (1936), exact, of which each side
/// misses it with a chance of at most (1 - level) / 2. Pure; 0 < level < 1.
std::pair<double, double> PoissonInterval(uint64_t count, double level = 0.95);

}  // namespace leadsman
