#include "math/block_detector.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr double kMost = 1e300;
constexpr char kKind = 'S';
constexpr uint8_t kVersion = 2;

/// Ranks are lowered by so many of their standard errors: a small reference may be narrower than what it is of.
constexpr double kCaution = 1.0 / 3;
/// Standard errors of the reference's mean by which later blocks may correct it.
constexpr double kUncertain = 2;
/// Later blocks that are remembered, as a multiple of the reference's.
constexpr double kRemembered = 8;

void WriteBlocks(ByteWriter& out, const std::vector<double>& blocks) {
  out.Varint(blocks.size());
  for (double block : blocks) out.Double(block);
}

/// Ascending and finite, at most `room` of them.
std::vector<double> ReadBlocks(ByteReader& in, size_t room) {
  uint64_t size = in.Varint();
  if (size > room) in.Fail();
  std::vector<double> blocks;
  for (uint64_t i = 0; in.ok() && i < size; ++i) {
    blocks.push_back(in.Double());
    if (!std::isfinite(blocks[i]) || (i > 0 && blocks[i] < blocks[i - 1])) in.Fail();
  }
  return blocks;
}

/// Between `low` and `high`; NaN is not.
double ReadWithin(ByteReader& in, double low, double high) {
  double value = in.Double();
  if (!(value >= low && value <= high)) in.Fail();
  return value;
}

}  // namespace

void RankEvidence::Look(Bets& bets, double u) {
  double apart = 2 * u - 1;
  const Bets factors{1 + 0.25 * apart, 1 + 0.5 * apart, 2 * u, 4 * u * u * u};
  for (size_t i = 0; i < bets.size(); ++i) bets[i] = std::min(kMost, (bets[i] + 1) * factors[i]);
}

double RankEvidence::Mean(const Bets& bets) {
  double sum = 0;
  for (double m : bets) sum += m / static_cast<double>(bets.size());
  return sum;
}

void RankEvidence::Look(double up, double down) {
  if (side_ != Side::kDown) Look(up_, up);
  if (side_ != Side::kUp) Look(down_, down);
}

double RankEvidence::Value() const {
  if (side_ == Side::kUp) return Mean(up_);
  if (side_ == Side::kDown) return Mean(down_);
  return (Mean(up_) + Mean(down_)) / 2;
}

void RankEvidence::Reset() {
  up_.fill(0);
  down_.fill(0);
}

void RankEvidence::Write(ByteWriter& out) const {
  out.Byte(static_cast<uint8_t>(side_));
  for (double m : up_) out.Double(m);
  for (double m : down_) out.Double(m);
}

void RankEvidence::Read(ByteReader& in) {
  uint8_t side = in.Byte();
  if (side > static_cast<uint8_t>(Side::kDown)) return in.Fail();
  side_ = static_cast<Side>(side);
  for (double& m : up_) m = ReadWithin(in, 0, kMost);
  for (double& m : down_) m = ReadWithin(in, 0, kMost);
}

BlockDetector::BlockDetector(std::span<const double> reference, Options options)
    : options_(options), evidence_(options.side) {
  CHECK(options.tolerance >= 0);
  std::copy_if(reference.begin(), reference.end(), std::back_inserter(reference_),
               [](double block) { return std::isfinite(block); });
  if (reference_.size() > kMaxBlocks) {
    reference_.erase(reference_.begin(), reference_.end() - ptrdiff_t{kMaxBlocks});
  }
  independence_ = CheckIndependence(reference_);
  std::sort(reference_.begin(), reference_.end());
  Summarise();
}

void BlockDetector::Summarise() {
  mean_ = error_ = 0;
  auto n = static_cast<double>(reference_.size());
  if (n < 2) return;
  for (double block : reference_) mean_ += block / n;
  double variance = 0;
  for (double block : reference_) variance += (block - mean_) * ((block - mean_) / (n - 1));
  error_ = std::sqrt(variance / n);
}

double BlockDetector::CautiousRank(double block, bool downwards) const {
  auto n = static_cast<double>(reference_.size());
  auto [from, to] = std::equal_range(reference_.begin(), reference_.end(), block);
  double below = static_cast<double>(from - reference_.begin());
  if (downwards) below = static_cast<double>(reference_.end() - to);
  double rank = (below + static_cast<double>(to - from) / 2 + 0.5) / (n + 1);
  return std::max(0.0, rank - kCaution * std::sqrt(rank * (1 - rank) / n));
}

void BlockDetector::Look(double block) {
  if (!std::isfinite(block) || reference_.empty()) return;
  // What later blocks say of the reference's mean weighs as much as there are of them, and is believed
  // as far as that mean is uncertain, and only where it makes the detector more careful.
  auto n = static_cast<double>(reference_.size());
  double weight = later_ / (later_ + n), most = kUncertain * error_, tolerance = options_.tolerance;
  double up = std::clamp(weight * (later_mean_ - tolerance - mean_), 0.0, most);
  double down = std::clamp(weight * (mean_ - tolerance - later_mean_), 0.0, most);
  evidence_.Look(CautiousRank(block - tolerance - up, false),
                 CautiousRank(block + tolerance + down, true));
  later_ = std::min(later_ + 1, kRemembered * n);
  later_mean_ += (block - later_mean_) / later_;
}

std::string BlockDetector::ToBytes() const {
  ByteWriter out(kKind, kVersion);
  out.Double(options_.tolerance);
  evidence_.Write(out);
  WriteBlocks(out, reference_);
  out.Double(later_);
  out.Double(later_mean_);
  out.Double(independence_.lag1);
  out.Varint(independence_.lags);
  out.Double(independence_.statistic);
  out.Double(independence_.p_value);
  return std::move(out).Take();
}

std::optional<BlockDetector> BlockDetector::Parse(std::string_view bytes) {
  ByteReader in(bytes, kKind, kVersion);
  BlockDetector detector({}, {});
  detector.options_.tolerance = ReadWithin(in, 0, kMost);
  detector.evidence_.Read(in);
  detector.options_.side = detector.evidence_.side();
  detector.reference_ = ReadBlocks(in, kMaxBlocks);
  detector.Summarise();
  detector.later_ =
      ReadWithin(in, 0, kRemembered * static_cast<double>(detector.reference_.size()));
  detector.later_mean_ = ReadWithin(in, -kMost, kMost);
  IndependenceCheck& check = detector.independence_;
  check.size = detector.reference_.size();
  check.lag1 = ReadWithin(in, -1, 1);
  check.lags = in.Varint();
  check.statistic = ReadWithin(in, 0, kMost);
  check.p_value = ReadWithin(in, 0, 1);
  if (!in.Finished() || !std::isfinite(detector.error_)) return std::nullopt;
  return detector;
}

}  // namespace leadsman
