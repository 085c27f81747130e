#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/prediction_event.h"
#include "events/segment_rule.h"
#include "monitor/observed.h"

namespace leadsman {

class ByteReader;
class ByteWriter;

inline constexpr std::string_view kOtherSegments = "(other)";

/// Which segments of a model are counted by themselves: those that the configuration names, and of
/// the others those that come first. All versions have the same ones. Externally synchronised.
class SegmentNames {
 public:
  SegmentNames(std::vector<SegmentRule> rules, size_t max_segments);

  const std::vector<SegmentRule>& rules() const { return rules_; }
  /// The segment's name, or "(other)": one that is not known becomes so while there is room. The text
  /// stays as long as this does.
  std::string_view Admit(size_t rule, std::string_view segment);
  size_t RuleNamed(std::string_view name) const;  ///< rules().size(): there is none
  uint64_t folded() const { return folded_; }     ///< how often the answer was "(other)"

 private:
  const std::vector<SegmentRule> rules_;
  const size_t max_segments_;
  std::vector<std::set<std::string, std::less<>>> known_;  ///< by rule
  size_t count_ = 0;
  uint64_t folded_ = 0;
};

/// What one version's segments have seen. Requests, each by its first row: `labelled` and `wrong` are
/// weighted, for estimates; labelled_requests and wrong_requests are not, for evidence. Requests are
/// of this process, labels are kept. `drawn_`: those of requests that a rollout's split has drawn, of this process.
/// Externally synchronised.
class SegmentCounts {
 public:
  struct Counts {
    std::array<uint64_t, kObservedOutcomes> requests{};
    double labelled = 0, wrong = 0;
    uint64_t labelled_requests = 0, wrong_requests = 0;
    uint64_t drawn_requests = 0, drawn_errors = 0;
    uint64_t drawn_labelled = 0, drawn_wrong = 0;
  };
  using BySegment = std::map<std::string, Counts, std::less<>>;

  /// `segments`: one for each rule, as SegmentNames admits them.
  void AddRequest(const SegmentNames& names, std::span<const std::string_view> segments,
                  ObservedOutcome outcome, bool drawn);
  /// `kept`: what KeptSegments made of the segments.
  void AddLabel(SegmentNames& names, std::string_view kept, double weight, bool wrong, bool drawn);

  /// By the rule's name.
  const std::map<std::string, BySegment, std::less<>>& counts() const { return counts_; }

  void Write(ByteWriter& to) const;
  /// Only what `names` still has rules for; its segments are admitted again.
  void Read(ByteReader& from, SegmentNames& names);

 private:
  Counts& Of(std::string_view rule, std::string_view segment);

  std::map<std::string, BySegment, std::less<>> counts_;
};

/// The segments of a request as one text, with the names of their rules, to be kept with its
/// prediction: by the time its label comes the configuration may be another.
std::string KeptSegments(const SegmentNames& names, std::span<const std::string_view> segments);

}  // namespace leadsman
