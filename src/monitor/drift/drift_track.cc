#include "monitor/drift/drift_track.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kKind = 'E';
constexpr uint8_t kVersion = 2;  // 1 did not say which numbers had been met
constexpr size_t kLongestDetector = 256 << 10;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

bool Watched(DriftTrack::Of of, ReferenceStream::Kind kind) {
  using Kind = ReferenceStream::Kind;
  if (of == DriftTrack::Of::kLabels) return kind == Kind::kMean;
  // A score is missing where the protocol gives none, which says nothing about the model.
  return kind != Kind::kMissing || of == DriftTrack::Of::kInputs;
}

double ToleranceOf(const Reference& reference, const ReferenceStream& stream, DriftTrack::Of of,
                   const DriftOptions& options) {
  using Kind = ReferenceStream::Kind;
  if (of == DriftTrack::Of::kLabels) return options.share_tolerance;
  switch (stream.kind) {
    case Kind::kMean:
      return options.tolerance * reference.numbers[stream.of].sigma;
    case Kind::kSpread:
      return std::log1p(options.tolerance);
    default:
      return options.share_tolerance;
  }
}

RankEvidence::Side SideOf(DriftTrack::Of of, ReferenceStream::Kind kind) {
  // Fewer errors, fewer missing values: nobody need look.
  return of == DriftTrack::Of::kLabels || kind == ReferenceStream::Kind::kMissing
             ? RankEvidence::Side::kUp
             : RankEvidence::Side::kBoth;
}

/// Also by a row that is well before: of rows that are older than those so far nothing else would ever be
/// looked at.
bool Reached(SteadyTime time, SteadyTime at) {
  return at >= time || at < time - 2 * DriftTrack::kBetweenLooks;
}

}  // namespace

double DriftTrack::Stream::Recent() const {
  double sum = 0;
  for (size_t i = 0; i < recent_size(); ++i) sum += recent[i];
  return recent_count > 0 ? sum / static_cast<double>(recent_size()) : kNothing;
}

DriftTrack::DriftTrack(Of of, std::vector<std::string> names, DriftOptions options,
                       CollectOptions collect, Admit admit)
    : of_(of),
      names_(std::move(names)),
      options_(options),
      collect_(collect),
      admit_(std::move(admit)) {
  TakeAnew();
}

void DriftTrack::Widen(std::vector<std::string> names) {
  if (names.size() <= names_.size()) return;
  names_ = std::move(names);
  if (builder_) builder_->Widen(names_);
}

void DriftTrack::TakeAnew() { builder_ = std::make_unique<ReferenceBuilder>(names_); }

bool DriftTrack::firing() const {
  return std::any_of(streams_.begin(), streams_.end(), [](const Stream& s) { return s.firing; });
}

Harm DriftTrack::harm() const {
  switch (of_) {
    case Of::kLabels:
      return Harm::kPerformance;
    case Of::kAnswers:
      return Harm::kPredictions;
    case Of::kInputs:
      break;
  }
  return Harm::kFeatures;
}

double DriftTrack::LooksPerSecond(SteadyTime now) const {
  return static_cast<double>(looks_) / std::max(1.0, ToSeconds(now - armed_));
}

void DriftTrack::Add(std::span<const float> numbers, std::span<const std::string_view> classes,
                     WallTime wall, SteadyTime now, std::optional<SteadyTime> at) {
  if (reference_) Compare(numbers, classes, now, at.value_or(now));
  if (builder_) Collect(numbers, classes, wall, now, at.value_or(now));
}

void DriftTrack::Collect(std::span<const float> numbers, std::span<const std::string_view> classes,
                         WallTime wall, SteadyTime now, SteadyTime at) {
  if (collect_.rolling && firing()) {
    if (builder_->rows() > 0) TakeAnew();
    return;
  }
  if (builder_->rows() == 0) collecting_since_ = at;
  builder_->Add(numbers, classes);
  if (builder_->rows() < collect_.rows || at - collecting_since_ < collect_.period) return;
  ReferenceFrom from = collect_.rolling ? ReferenceFrom::kWindow : ReferenceFrom::kFirstRequests;
  Use(std::make_shared<const Reference>(builder_->Build(from, UnixMillis(wall))), now);
}

bool DriftTrack::Use(std::shared_ptr<const Reference> reference, SteadyTime now) {
  if (reference->numbers.size() != std::min(names_.size(), Reference::kMaxNumbers)) return false;
  reference_ = std::move(reference);
  builder_.reset();
  if (collect_.rolling) TakeAnew();
  classes_ = ClassTable();
  for (const std::string& name : reference_->classes) classes_.IndexOf(name);
  Arm(now);
  block_ = {};
  block_.numbers.resize(reference_->numbers.size());
  unmet_.clear();
  const bool known_met =
      reference_->from != ReferenceFrom::kFile && reference_->from != ReferenceFrom::kStable;
  for (const ReferenceNumber& n : reference_->numbers) {
    unmet_.push_back(known_met && n.sketch.count() > 0 ? 0 : 1);
  }
  next_block_ = armed_ = now;
  looks_ = 0;
  closed_.reset();
  OpenWindow(now);
  return true;
}

void DriftTrack::Arm(SteadyTime now) {
  std::vector<Stream> streams;
  for (size_t i = 0; i < reference_->streams.size(); ++i) {
    const ReferenceStream& stream = reference_->streams[i];
    if (!Watched(of_, stream.kind)) continue;
    double tolerance = ToleranceOf(*reference_, stream, of_, options_);
    streams.push_back(
        {i, tolerance, BlockDetector(stream.blocks, {tolerance, SideOf(of_, stream.kind)})});
  }
  unwatched_ =
      admit_ && streams.size() > streams_.size() && !admit_(streams.size() - streams_.size(), now);
  if (unwatched_) streams.clear();
  streams_ = std::move(streams);
  ++changes_;
}

bool DriftTrack::Follow(const DriftTrack& other, SteadyTime now) {
  auto reference = other.reference_;
  if (reference->from != ReferenceFrom::kStable) {
    auto copy = std::make_shared<Reference>(*reference);
    copy->from = ReferenceFrom::kStable;
    reference = std::move(copy);
  }
  if (!Use(std::move(reference), now)) return false;
  unmet_ = other.unmet_;
  return true;
}

void DriftTrack::Fire(Stream& stream, double budget_spent) {
  stream.firing = true;
  stream.fired_evidence = stream.detector.evidence();
  stream.budget_spent = budget_spent;
  stream.blocks_since_firing = 0;
  stream.detector.Reset();
  ++changes_;
}

void DriftTrack::Quieten() {
  for (Stream& stream : streams_) stream.firing = false;
  ++changes_;
}

void DriftTrack::OpenWindow(SteadyTime at) {
  open_ = {};
  for (const ReferenceNumber& n : reference_->numbers) open_.numbers.emplace_back(n.bins);
  open_.sums.resize(reference_->numbers.size());
  open_.classes.resize(reference_->classes.size() + 1);
  opened_ = at;
}

void DriftTrack::Compare(std::span<const float> numbers, std::span<const std::string_view> classes,
                         SteadyTime now, SteadyTime at) {
  const bool in_block = Reached(next_block_, at);
  for (size_t i = 0; i < reference_->numbers.size(); ++i) {
    const ReferenceNumber& reference = reference_->numbers[i];
    float value = i < numbers.size() ? numbers[i] : std::numeric_limits<float>::quiet_NaN();
    if (!std::isfinite(value)) [[unlikely]] {
      open_.numbers[i].AddMissing();
      continue;
    }
    double d = value - reference.shift;
    open_.sums[i] += d;
    open_.numbers[i].Add(reference.bins, value);
    if (!in_block) continue;
    BlockSums::Number& sums = block_.numbers[i];
    sums.sum += d;
    sums.squares += d * d;
    ++sums.finite;
  }
  if (!reference_->classes.empty()) {
    for (std::string_view name : classes) {
      size_t index = std::min(classes_.IndexOf(name), reference_->classes.size());
      ++open_.classes[index];
      ++open_.answers;
      if (in_block) block_.AddClass(index);
    }
  }
  if (++open_.rows >= options_.window_rows && Reached(opened_ + kBetweenLooks, at)) {
    closed_ = std::move(open_);
    OpenWindow(at);
  }
  if (in_block && ++block_.rows >= reference_->block_rows) CloseBlock(now, at);
}

void DriftTrack::CloseBlock(SteadyTime now, SteadyTime at) {
  ++looks_;
  ++changes_;
  if (unwatched_ && looks_ % kRecentBlocks == 0) Arm(now);
  next_block_ = at + kBetweenLooks;
  for (size_t i = 0; i < unmet_.size(); ++i) {
    if (block_.numbers[i].finite > 0) unmet_[i] = 0;
  }
  for (Stream& stream : streams_) {
    const ReferenceStream& reference = reference_->streams[stream.of];
    double value = reference_->ValueOf(reference, block_, unmet_);
    if (!std::isfinite(value)) {
      ++stream.blocks_without;
      continue;
    }
    stream.blocks_without = 0;
    stream.recent[stream.recent_count++ % kRecentBlocks] = value;
    if (!stream.firing) {
      stream.detector.Look(value);
      continue;
    }
    // What is known to be wrong joins nothing that later blocks are compared with. The alarm ends
    // when as many blocks as are told of lie on average where they did: within the tolerance, and
    // the error of such an average.
    if (++stream.blocks_since_firing < kRecentBlocks) continue;
    double error = reference.deviation / std::sqrt(static_cast<double>(kRecentBlocks));
    double away = stream.Recent() - reference.centre;
    if (stream.detector.sides().side() == RankEvidence::Side::kBoth) away = std::fabs(away);
    if (away <= stream.tolerance + error) stream.firing = false;
  }
  block_.Clear();
}

std::string DriftTrack::EvidenceBytes(SteadyTime now) const {
  ByteWriter out(kKind, kVersion);
  out.Varint(looks_);
  out.Double(ToSeconds(now - armed_));
  out.Varint(streams_.size());
  for (const Stream& s : streams_) {
    out.Text(s.detector.ToBytes());
    out.Byte(s.firing ? 1 : 0);
    out.Double(s.fired_evidence);
    out.Double(s.budget_spent);
    out.Varint(s.blocks_since_firing);
    out.Varint(s.recent_count);
    for (double value : s.recent) out.Double(value);
  }
  for (uint8_t unmet : unmet_) out.Byte(unmet);
  return std::move(out).Take();
}

bool DriftTrack::RestoreEvidence(std::string_view bytes, SteadyTime now) {
  if (!reference_) return false;
  ByteReader in(bytes, kKind, kVersion);
  uint64_t looks = in.Varint();
  double seconds = in.Double();
  if (in.Varint() != streams_.size() || !(seconds >= 0 && seconds < 1e10)) return false;
  std::vector<Stream> streams = streams_;
  for (Stream& s : streams) {
    auto detector = BlockDetector::Parse(in.Text(kLongestDetector));
    // Another reference, or another tolerance in the configuration: evidence begins anew.
    if (!detector || !detector->Asks(s.detector)) {
      return false;
    }
    s.detector = std::move(*detector);
    s.firing = in.Byte() == 1;
    s.fired_evidence = in.Double();
    s.budget_spent = in.Double();
    s.blocks_since_firing = in.Varint();
    s.recent_count = in.Varint();
    for (double& value : s.recent) {
      value = in.Double();
      if (!std::isfinite(value)) in.Fail();
    }
    if (!std::isfinite(s.fired_evidence) || !std::isfinite(s.budget_spent)) in.Fail();
  }
  std::vector<uint8_t> unmet(unmet_.size());
  for (uint8_t& one : unmet) {
    one = in.Byte();
    if (one > 1) in.Fail();
  }
  if (!in.Finished()) return false;
  ++changes_;
  unmet_ = std::move(unmet);
  streams_ = std::move(streams);
  looks_ = looks;
  armed_ = now - std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  return true;
}

}  // namespace leadsman
