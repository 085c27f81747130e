#!/usr/bin/env python3
"""Writes distance.golden: distances and tail probabilities as SciPy computes them.

    python3 src/math/testdata/make_distance_golden.py > src/math/testdata/distance.golden
"""
import numpy as np
import scipy
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

rng = np.random.default_rng(20)


def line(key, *values):
    print(key, *(repr(float(v)) if not float(v).is_integer() else int(v) for v in values))


def cells(name, reference, window):
    print("case", name)
    line("reference_cells", *reference)
    line("window_cells", *window)
    r, w = np.array(reference, float), np.array(window, float)
    line("jensen_shannon", jensenshannon(r, w, base=2))
    table = np.array([r, w])[:, (r + w) > 0]
    chi = stats.chi2_contingency(table, correction=False)
    line("chi_square", chi.statistic, chi.pvalue)
    if (r > 0).all() and (w > 0).all():
        line("psi", stats.entropy(r, w) + stats.entropy(w, r))
    else:  # half a value where there is none: shares do not sum up to 1, entropy() would scale them
        p, q = (np.maximum(c, 0.5)[(r + w) > 0] / c.sum() for c in (r, w))
        line("psi", np.sum(special.rel_entr(p, q) + special.rel_entr(q, p)))


def values(name, reference, window, asymptotic=False):
    print("case", name)
    line("reference_values", *reference)
    line("window_values", *window)
    ks = stats.ks_2samp(reference, window, method="exact")
    line("kolmogorov_smirnov", ks.statistic, ks.pvalue)
    line("wasserstein", stats.wasserstein_distance(reference, window))
    line("sigma", np.std(reference))


print(f"# make_distance_golden.py with SciPy {scipy.__version__}, NumPy {np.__version__}")
cells("even", [100] * 10, [90, 110, 95, 105, 80, 120, 100, 100, 97, 103])
cells("shifted", [1000, 900, 800, 300, 50, 7], [300, 500, 900, 700, 400, 21])
cells("empty cells", [500, 0, 30, 0, 12, 0], [200, 4, 0, 0, 15, 1])
cells("two", [9_000_000, 1_000_000], [91, 9])
cells("random", rng.integers(1, 5000, 40), rng.integers(1, 80, 40))
cells("far apart", [1000, 1], [1, 1000])

normal = rng.standard_normal
values("small", normal(7), normal(5) + 1)
values("same size", normal(50), normal(50) + 0.3)
values("unequal", normal(400), normal(60) * 1.4)
values("ties", rng.integers(0, 6, 80), rng.integers(0, 8, 37))
values("disjoint", normal(90), normal(110) + 30)
values("equal", [1, 2, 3], [1, 2, 3])
values("heavy tail", rng.standard_cauchy(200), rng.standard_cauchy(100) * 2)
values("tiny p", normal(300), normal(250) + 1.5)

print("case weighted")
positions = np.sort(normal(20)) * 5
weights = rng.integers(1, 100, 20)
other, other_weights = np.sort(normal(15)) * 4 + 1, rng.integers(1, 9, 15)
line("reference_values", *positions)
line("reference_weights", *weights)
line("window_values", *other)
line("window_weights", *other_weights)
line("wasserstein", stats.wasserstein_distance(positions, other, weights, other_weights))
line("sigma", np.sqrt(np.cov(positions, fweights=weights, ddof=0)))

print("case tails")
for freedom in (1, 2, 3, 9, 30, 255):
    for x in (1e-3, 0.5, 5, 20, 100, 300):
        line("chi_square_tail", x, freedom, stats.chi2.sf(x, freedom))
    for tail in (0.99, 0.5, 0.01, 1e-6):
        line("chi_square_quantile", tail, freedom, stats.chi2.isf(tail, freedom))
for x in (0.2, 0.5, 0.9, 1, 1.1, 1.6276, 3, 5):
    line("kolmogorov_tail", x, stats.kstwobign.sf(x))
for events, n, p in ((1, 10, 0.1), (5, 100, 0.01), (60, 1000, 0.05), (900, 1000, 0.9), (3, 3, 0.2),
                     (1500, 1_000_000, 0.001), (7, 20, 0.5)):
    line("binomial_tail", events, n, p, stats.binom.sf(events - 1, n, p))
