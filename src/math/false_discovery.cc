#include "math/false_discovery.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace leadsman {

std::vector<size_t> NameDiscoveries(std::span<const double> log_e, size_t family, double alpha) {
  std::vector<size_t> order(log_e.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return log_e[a] > log_e[b]; });
  const double all = std::log(static_cast<double>(std::max(family, log_e.size())) / alpha);
  size_t named = 0;
  for (size_t k = 1; k <= order.size(); ++k) {
    if (log_e[order[k - 1]] >= all - std::log(static_cast<double>(k))) named = k;
  }
  order.resize(named);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace leadsman
