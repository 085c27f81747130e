#pragma once

#include <cstddef>
#include <span>

namespace leadsman {

/// Whether numbers in order of time are independent of each other, as the detectors' bound supposes
/// (block_detector.h). Fails for blocks too short for the traffic's memory, for a daily rhythm, for a
/// trend.
struct IndependenceCheck {
  size_t size = 0;
  double lag1 = 0;  ///< correlation of neighbours' ranks
  /// Ljung and Box (1978) on the ranks, with `lags` lags: n (n+2) sum r_k^2 / (n-k), chi-square with
  /// `lags` degrees of freedom under independence. Ranks, so that single outliers count no more than
  /// any other value.
  size_t lags = 0;
  double statistic = 0;
  double p_value = 1;

  static constexpr size_t kFewest = 50;   ///< fewer tell nothing
  static constexpr double kLevel = 0.01;  ///< independent ones fail as often

  bool independent() const { return size >= kFewest && p_value >= kLevel; }
  friend bool operator==(const IndependenceCheck&, const IndependenceCheck&) = default;
};

/// O(n (lags + log n)). Pure.
IndependenceCheck CheckIndependence(std::span<const double> in_order);

/// How many values of the series weigh as one independent value: 1 + 2 sum of the autocorrelations,
/// up to where the sum of two neighbouring ones is no longer positive (Geyer 1992, initial positive
/// sequence). 1 for independent values, (1+rho)/(1-rho) for AR(1); at least 1. Divide sample sizes by
/// it before a noise floor is asked. O(n) per lag that counts, at most n/4 lags. Pure.
double AutocorrelationTime(std::span<const double> in_order);

/// Values to a block so that block means are nearly independent: ten autocorrelation times (an AR(1)
/// with rho 0.9 then leaves neighbours with a correlation of 0.025), at least `fewest`.
size_t BlockLength(double autocorrelation_time, size_t fewest);

}  // namespace leadsman
