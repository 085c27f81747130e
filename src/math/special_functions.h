#pragma once

namespace leadsman {

/// Tail probabilities that the tests here need, to a relative error of about 1e-12 (compared with
/// SciPy's in the tests), and what they are made of. Thread-safe.

/// ln of the beta function B(a, b); a, b > 0.
double LogBeta(double a, double b);

/// Q(a, x) = Gamma(a, x) / Gamma(a), the regularised upper incomplete gamma function; a > 0, x >= 0.
/// Series below a + 1, continued fraction above (Abramowitz and Stegun 6.5.29, 6.5.31).
double GammaQ(double a, double x);

/// I_x(a, b), the regularised incomplete beta function; a, b > 0, 0 <= x <= 1. Continued fraction
/// (DLMF 8.17.22).
double BetaI(double a, double b, double x);

/// P(X >= x) for chi-square with `freedom` degrees of freedom; 1 for freedom 0.
double ChiSquareTail(double x, double freedom);
/// The x that is exceeded with probability `tail`, 0 < tail < 1.
double ChiSquareQuantile(double tail, double freedom);

/// P(at least `events` of `n`) when each is one with probability `p`. 1 for events = 0.
double BinomialTail(double events, double n, double p);

/// P(sup |B| >= x) of a Brownian bridge: what sqrt(n) times the distance of Kolmogorov and Smirnov
/// tends to.
double KolmogorovTail(double x);

}  // namespace leadsman
