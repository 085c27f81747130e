#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace leadsman {

/// Which of many null hypotheses are refuted, when some of them may be so by chance: e-BH (Wang and Ramdas, "False discovery
/// rate control with e-values", J. R. Stat. Soc. B 2022). Of `family` hypotheses with e-values e, the k largest are named, for the
/// largest k with
///     e_(k) >= family / (k alpha).
/// Of those that are named, the share that is true has a mean of at most alpha, whatever the e-values have to do with each other:
/// of each that is named k e / family >= 1 / alpha, so 1/k is at most alpha e / family, and the mean of e is at most 1.
///
/// Of e-processes it holds at every time that is chosen by looking at them ("when the first one is named"). Where all hypotheses
/// are true, anything is *ever* named with probability alpha at most: to name any, the mean of all e-values has to reach
/// 1 / alpha (Ville).
///
/// `log_e`: natural logarithms; the other hypotheses of the family are such as have no evidence yet. `family` must not be made
/// after the e-values, and is at least their number. Returns the places of those that are named, ascending. 0 < alpha < 1.
std::vector<size_t> NameDiscoveries(std::span<const double> log_e, size_t family, double alpha);

}  // namespace leadsman
