#include "rollout_judges/world.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace leadsman::bench {
namespace {

constexpr double kIncidentBegins = 120, kIncidentEnds = 480, kRampSeconds = 1200;
constexpr double kTailQuantile = 0.99;
constexpr uint64_t kSummedUp =
    50;  // beyond it a mean is drawn as the normal number that it nearly is

/// The inverse of the normal distribution function, by bisection of erfc: exact enough and short.
double NormalQuantile(double p) {
  double low = -9, high = 9;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::vector<Release> Made() {
  std::vector<Release> all;
  auto add = [&](const char* name, bool worse) -> Release& {
    all.push_back({.name = name, .worse = worse});
    return all.back();
  };
  add("equal", false);
  add("errors x2", true).error_factor = 2;
  add("errors x5", true).error_factor = 5;
  add("latency +10 %", true).latency_factor = 1.1;
  Release& same_labels = add("equal, by labels too", false);
  same_labels.judged_by_labels = true;
  Release& wrong = add("accuracy -2 points", true);
  wrong.more_wrong = 0.02;
  wrong.judged_by_labels = true;
  add("shared incident", false).incident = 0.05;
  add("ramp", false).ramp_to = 0.02;
  add("low traffic, equal", false).requests_per_second = 1;
  Release& low = add("low traffic, errors x5", true);
  low.requests_per_second = 1;
  low.error_factor = 5;
  return all;
}

}  // namespace

double Release::StableErrors(double seconds) const {
  if (incident > 0 && seconds >= kIncidentBegins && seconds < kIncidentEnds) return incident;
  if (ramp_to > 0)
    return error_rate + (ramp_to - error_rate) * std::min(1.0, seconds / kRampSeconds);
  return error_rate;
}

double Release::CandidateErrors(double seconds) const {
  return StableErrors(seconds) * error_factor;
}

const std::vector<Release>& Releases() {
  static const std::vector<Release> releases = Made();
  return releases;
}

uint64_t World::Some(uint64_t of, double share) {
  if (of == 0 || share <= 0) return 0;
  return share >= 1 ? of : std::binomial_distribution<uint64_t>(of, share)(rng_);
}

Window World::Answers(uint64_t requests, double error_rate, double wrong_rate,
                      double latency_factor) {
  Window window;
  window.requests = requests;
  window.errors = Some(requests, error_rate);
  window.labelled = Some(requests - window.errors, kLabelShare);
  window.wrong = Some(window.labelled, wrong_rate);
  if (requests == 0) return window;
  const double median = kMedianMs * latency_factor;
  std::normal_distribution<double> normal;
  if (requests <= kSummedUp) {
    for (uint64_t i = 0; i < requests; ++i) window.mean_ms += std::exp(kSigma * normal(rng_));
    window.mean_ms *= median / static_cast<double>(requests);
  } else {
    const double mean = std::exp(kSigma * kSigma / 2);
    const double deviation = mean * std::sqrt(std::expm1(kSigma * kSigma));
    window.mean_ms =
        median * (mean + deviation / std::sqrt(static_cast<double>(requests)) * normal(rng_));
  }
  // The k-th smallest of n uniform numbers has the distribution Beta(k, n + 1 - k).
  const double n = static_cast<double>(requests), k = std::ceil(kTailQuantile * n);
  const double below = std::gamma_distribution<double>(k, 1)(rng_);
  const double above = std::gamma_distribution<double>(n + 1 - k, 1)(rng_);
  window.p99_ms = median * std::exp(kSigma * NormalQuantile(below / (below + above)));
  return window;
}

void World::Draw(double end, double seconds, double candidate_share, double baseline_share,
                 Window& candidate, Window& baseline) {
  const double middle = end - seconds / 2;
  auto requests = [&](double share) {
    const double mean = release_.requests_per_second * seconds * share;
    return mean <= 0 ? 0 : std::poisson_distribution<uint64_t>(mean)(rng_);
  };
  candidate = Answers(requests(candidate_share), release_.CandidateErrors(middle),
                      release_.wrong_rate + release_.more_wrong, release_.latency_factor);
  baseline =
      Answers(requests(baseline_share), release_.StableErrors(middle), release_.wrong_rate, 1);
}

}  // namespace leadsman::bench
