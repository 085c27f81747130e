#include "monitor/quality/segment_counts.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

/// Between the segments of one request; none holds it, for control characters are replaced where
/// they are read.
constexpr char kSeparator = '\x1f';
constexpr size_t kMaxText = 255;
constexpr uint64_t kMaxStored = 10'000;

}  // namespace

SegmentNames::SegmentNames(std::vector<SegmentRule> rules, size_t max_segments)
    : rules_(std::move(rules)), max_segments_(max_segments), known_(rules_.size()) {
  for (size_t i = 0; i < rules_.size(); ++i) {
    known_[i].insert(rules_[i].values.begin(), rules_[i].values.end());
    count_ += known_[i].size();
  }
}

std::string_view SegmentNames::Admit(size_t rule, std::string_view segment) {
  auto& known = known_[rule];
  auto found = known.find(segment);
  if (found != known.end()) return *found;
  if (segment != kOtherSegments && count_ < max_segments_) {
    ++count_;
    return *known.emplace(segment).first;
  }
  if (segment != kOtherSegments) ++folded_;
  return kOtherSegments;
}

size_t SegmentNames::RuleNamed(std::string_view name) const {
  auto found = std::find_if(rules_.begin(), rules_.end(),
                            [&](const SegmentRule& rule) { return rule.name == name; });
  return static_cast<size_t>(found - rules_.begin());
}

SegmentCounts::Counts& SegmentCounts::Of(std::string_view rule, std::string_view segment) {
  auto by = counts_.find(rule);
  if (by == counts_.end()) by = counts_.emplace(rule, BySegment()).first;
  auto of = by->second.find(segment);
  if (of == by->second.end()) of = by->second.emplace(segment, Counts()).first;
  return of->second;
}

void SegmentCounts::AddRequest(const SegmentNames& names,
                               std::span<const std::string_view> segments, ObservedOutcome outcome,
                               bool drawn) {
  const bool error =
      outcome == ObservedOutcome::kClientError || outcome == ObservedOutcome::kServerError;
  const size_t count = std::min(segments.size(), names.rules().size());
  for (size_t i = 0; i < count; ++i) {
    Counts& of = Of(names.rules()[i].name, segments[i]);
    ++of.requests[static_cast<size_t>(outcome)];
    if (!drawn) continue;
    ++of.drawn_requests;
    if (error) ++of.drawn_errors;
  }
}

void SegmentCounts::AddLabel(SegmentNames& names, std::string_view kept, double weight, bool wrong,
                             bool drawn) {
  if (kept.empty()) return;
  for (std::string_view part : Split(kept, kSeparator)) {
    const size_t equals = std::min(part.find('='), part.size());
    const size_t rule = names.RuleNamed(part.substr(0, equals));
    if (rule == names.rules().size() || equals == part.size()) continue;
    Counts& of = Of(names.rules()[rule].name, names.Admit(rule, part.substr(equals + 1)));
    of.labelled += weight;
    ++of.labelled_requests;
    if (drawn) ++of.drawn_labelled;
    if (!wrong) continue;
    of.wrong += weight;
    ++of.wrong_requests;
    if (drawn) ++of.drawn_wrong;
  }
}

void SegmentCounts::Write(ByteWriter& to) const {
  to.Varint(counts_.size());
  for (const auto& [rule, segments] : counts_) {
    to.Text(rule);
    to.Varint(segments.size());
    for (const auto& [segment, of] : segments) {
      to.Text(segment);
      to.Double(of.labelled);
      to.Double(of.wrong);
      to.Varint(of.labelled_requests);
      to.Varint(of.wrong_requests);
    }
  }
}

void SegmentCounts::Read(ByteReader& from, SegmentNames& names) {
  *this = {};
  const uint64_t rules = from.Varint();
  if (rules > kMaxStored) from.Fail();
  for (uint64_t i = 0; i < rules && from.ok(); ++i) {
    const std::string name(from.Text(kMaxText));
    const size_t rule = names.RuleNamed(name);
    const uint64_t segments = from.Varint();
    if (segments > kMaxStored) from.Fail();
    for (uint64_t n = 0; n < segments && from.ok(); ++n) {
      const std::string segment(from.Text(kMaxText));
      Counts read;
      read.labelled = from.Double();
      read.wrong = from.Double();
      read.labelled_requests = from.Varint();
      read.wrong_requests = from.Varint();
      if (!std::isfinite(read.labelled) || !std::isfinite(read.wrong)) from.Fail();
      if (!from.ok() || rule == names.rules().size()) continue;
      Counts& of = Of(name, names.Admit(rule, segment));
      of.labelled += read.labelled;
      of.wrong += read.wrong;
      of.labelled_requests += read.labelled_requests;
      of.wrong_requests += read.wrong_requests;
    }
  }
  if (!from.ok()) *this = {};
}

std::string KeptSegments(const SegmentNames& names, std::span<const std::string_view> segments) {
  std::string kept;
  const size_t count = std::min(segments.size(), names.rules().size());
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) kept += kSeparator;
    kept += StrCat(names.rules()[i].name, "=", segments[i]);
  }
  return kept;
}

}  // namespace leadsman
