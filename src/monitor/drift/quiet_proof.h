#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/config.h"
#include "monitor/drift/drift_book.h"
#include "monitor/drift/request_history.h"

namespace leadsman {

/// What a replay of the past says of one detector.
struct QuietStream {
  AlarmKind kind = AlarmKind::kFeatureDrift;
  std::string track;  ///< "inputs", "answers", "labels"
  std::string name;
  std::string unit;      ///< of a change: "σ", "spread", "points"
  uint64_t firings = 0;  ///< alarms that named it
  /// When the first kMostTold of them began.
  std::vector<int64_t> fired_ms;
  double days = 0;  ///< in which it was looked at
  /// The smallest of the changes tried that is found within a day on most days; nothing: none is.
  std::optional<double> smallest;
  std::string not_guaranteed;  ///< why the bound on its false alarms is not proven; empty: it is
};

/// What the past cannot tell of one kind of alarm, and why.
struct QuietGap {
  AlarmKind kind = AlarmKind::kFeatureDrift;
  std::string why;
};

struct QuietVersion {
  VersionKey key;
  uint64_t requests = 0;
  double requests_per_day = 0;
  uint64_t reference_rows = 0;  ///< of the inputs, or of the answers where there are no inputs
  uint64_t reference_wanted = 0;
  uint64_t blocks = 0;  ///< compared, of the same
  double days_compared = 0;
  std::vector<QuietStream> streams;  ///< empty: the reference is not complete
  std::vector<QuietGap> gaps;        ///< kinds of drift and risk that have no stream
};

struct QuietReport {
  uint64_t alarms = 0;  ///< decided in all of the past; one may name several streams
  double days = 0;      ///< of the past in which something was compared
  double allowed = 0;   ///< false alarms that the budget allows in that time
  std::vector<QuietVersion> versions;
};

/// The changes that are tried: of numbers in standard deviations of the reference, of a spread as a
/// factor less one, of shares in points.
inline constexpr std::array<double, 5> kChangesTried{0.05, 0.1, 0.2, 0.5, 1};
inline constexpr std::array<double, 5> kShareChangesTried{0.01, 0.02, 0.05, 0.1, 0.2};

/// Replays the past through the detectors that a server has, before they are armed: how often each
/// would have fired, and, from what its blocks were, what it would have found.
///
/// The first requests of each version are its reference, unless `files` has one for its model. A change
/// is put into the blocks of a day: the mean of a number moves by as many deviations, the logarithm of
/// its spread by that of the factor, a share by as many points; the detector then is as it was at the
/// beginning of that day. Of at most ten days, evenly from the past; a past of less than a day is taken
/// as one.
///
/// Pure: no clock. Takes about as long as the live fold of as many requests.
class QuietProof {
 public:
  static constexpr size_t kMostTold = 10;

  /// Without `names` values are named by their places.
  QuietProof(AlarmBudget budget, size_t wide_input, FeatureNameBook* names = nullptr)
      : book_(budget, wide_input, names), budget_(budget) {}
  void UseFile(const std::string& model, std::shared_ptr<const Reference> reference) {
    book_.UseFile(model, std::move(reference));
  }
  /// `histories` are sorted here. Once.
  QuietReport Run(std::map<VersionKey, RequestHistory>& histories,
                  const std::map<std::string, MonitorConfig>& configs);

 private:
  struct Block {
    double seconds;  ///< since the beginning
    double value;
  };
  struct Watched {
    std::shared_ptr<const Reference> reference;
    std::vector<std::vector<Block>> streams;  ///< the blocks of each, compared with it
    std::vector<uint64_t> firings;
    std::vector<std::vector<int64_t>> fired_ms;
    std::vector<bool> was_firing;
    std::vector<size_t> seen;
    double begun = 0;  ///< when it was complete
    double threshold = 0;
  };
  struct Version {
    std::shared_ptr<VersionDrift> drift;
    const RequestHistory* history = nullptr;
    MonitorConfig config;
    uint64_t labels = 0;
    std::map<DriftTrack::Of, Watched> tracks;
  };

  void Replay(const std::map<VersionKey, RequestHistory>& histories);
  /// True when a track has closed a block.
  bool Collect(Version& version, double seconds);
  void CountFirings();
  QuietVersion Report(const VersionKey& key, Version& version) const;
  QuietStream StreamReport(const DriftTrack& track, size_t stream, const Watched& watched) const;
  static std::vector<QuietGap> GapsOf(const Version& version);
  std::optional<double> Smallest(const DriftTrack& track, const DriftTrack::Stream& stream,
                                 const std::vector<Block>& blocks, const Watched& watched) const;

  DriftBook book_;
  const AlarmBudget budget_;
  LabelReplay labels_;
  std::map<VersionKey, Version> versions_;
  int64_t first_ms_ = 0;
  double seconds_ = 0;  ///< of the replay
};

}  // namespace leadsman
