#include "math/independence.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "math/special_functions.h"

namespace leadsman {
namespace {

/// Ranks from 0, ties at their mean, less the mean of all.
std::vector<double> CentredRanks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  double middle = (static_cast<double>(values.size()) - 1) / 2;
  for (size_t i = 0; i < order.size();) {
    size_t end = i + 1;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    double rank = (static_cast<double>(i) + static_cast<double>(end) - 1) / 2;
    for (; i < end; ++i) ranks[order[i]] = rank - middle;
  }
  return ranks;
}

/// Sum of products at a distance of `lag`, of values whose mean is 0.
double Product(std::span<const double> centred, size_t lag) {
  double sum = 0;
  for (size_t i = lag; i < centred.size(); ++i) sum += centred[i] * centred[i - lag];
  return sum;
}

}  // namespace

IndependenceCheck CheckIndependence(std::span<const double> in_order) {
  IndependenceCheck check;
  check.size = in_order.size();
  check.lags = std::min<size_t>(10, in_order.size() / 5);
  std::vector<double> ranks = CentredRanks(in_order);
  double variance = Product(ranks, 0);
  if (check.lags == 0 || variance == 0) return check;  // a constant depends on nothing
  auto n = static_cast<double>(in_order.size());
  for (size_t lag = 1; lag <= check.lags; ++lag) {
    double r = Product(ranks, lag) / variance;
    if (lag == 1) check.lag1 = r;
    check.statistic += n * (n + 2) * r * r / (n - static_cast<double>(lag));
  }
  check.p_value = ChiSquareTail(check.statistic, static_cast<double>(check.lags));
  return check;
}

double AutocorrelationTime(std::span<const double> in_order) {
  if (in_order.size() < 8) return 1;
  auto n = static_cast<double>(in_order.size());
  double mean = std::accumulate(in_order.begin(), in_order.end(), 0.0) / n;
  std::vector<double> centred;
  for (double value : in_order) centred.push_back(value - mean);
  double variance = Product(centred, 0);
  if (!(variance > 0)) return 1;
  double time = -1;
  for (size_t lag = 0; lag + 1 < in_order.size() / 4; lag += 2) {
    double pair = (Product(centred, lag) + Product(centred, lag + 1)) / variance;
    if (pair <= 0) break;
    time += 2 * pair;
  }
  return std::max(1.0, time);
}

size_t BlockLength(double autocorrelation_time, size_t fewest) {
  return std::max(fewest, static_cast<size_t>(std::ceil(10 * autocorrelation_time)));
}

}  // namespace leadsman
