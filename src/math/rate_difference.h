#pragma once

#include "math/e_process.h"

namespace leadsman {

/// What is known of two rates and of their difference, however often one looks: an interval that at *every* look has the true
/// one in it, with probability `level` over all looks together (a confidence sequence).
///
/// For two rates (p, q) the product of both arms' e-processes, each a mixture over rates (Beta(1/2, 1/2)) against the rate
/// itself, is an e-process: under (p, q) it ever reaches 1/(1 - level) with probability at most 1 - level (Ville). The
/// pairs that it has not refuted are a convex set; its projections are the intervals here. The mixture is Robbins' (Ann. Math.
/// Stat. 1970; Howard, Ramdas, McAuliffe and Sekhon, Ann. Stat. 2021), the product over the two arms and its projection on the
/// difference after Turner and Grünwald, "Anytime-valid confidence intervals for contingency tables and beyond" (Stat. Probab.
/// Lett. 2023). It needs counts alone, in any order; a rate that changes while it is measured is not one rate, and then neither
/// has a meaning.
struct RateDifference {
  double low = -1, high = 1;  ///< of the candidate's rate less the stable's
};

/// 0 < level < 1. Without exposure of an arm nothing is known of it. Pure; deterministic.
RateDifference DifferenceOfRates(const ArmCounts& candidate, const ArmCounts& stable, double level);

}  // namespace leadsman
