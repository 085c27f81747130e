#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "math/alarm_budget.h"
#include "math/block_detector.h"
#include "monitor/class_counts.h"
#include "monitor/drift/reference.h"

namespace leadsman {

struct DriftOptions {
  double tolerance = 0.03;        ///< of numbers, in the reference's standard deviations
  double share_tolerance = 0.03;  ///< of shares of classes, missing values and errors: points
  size_t window_rows = 1000;      ///< rows that distances are computed of
};

/// What a reference is collected of.
struct CollectOptions {
  size_t rows = 5000;              ///< as many at least,
  std::chrono::seconds period{0};  ///< and for so long
  bool rolling = false;  ///< the next one is begun as soon as one is complete, and takes its place
};

/// One kind of rows of one version: its inputs, its answers, or its labels. Collects a reference, or
/// is given one, and then compares.
///
///   kCollecting ── enough rows, or Use ──► kReady ◄─┐
///                                            └── TakeAnew, or rolling: enough further rows
///
/// A reference that is collected anew leaves the one before it in use until it is complete. Of a
/// rolling one rows during an alarm are not taken: what is known to be wrong does not become usual.
///
/// Every row is counted once. Distances are of windows of `window_rows`; detectors look at blocks of
/// the reference's length. Neither is begun anew within a second of the last one, so that what
/// detection costs a request falls with the traffic; of a busy model blocks are a sample of its rows,
/// the windows are not. Times are the rows' own: of several sources they may go back, and then a block
/// begins too.
/// Externally synchronised.
class DriftTrack {
 public:
  enum class Of : uint8_t { kInputs, kAnswers, kLabels };
  static constexpr std::chrono::seconds kBetweenLooks{1};
  /// What is told of now, and what must be well again before an alarm ends.
  static constexpr size_t kRecentBlocks = 32;

  /// One detector and its alarm.
  struct Stream {
    size_t of = 0;  ///< of Reference::streams
    double tolerance = 0;
    BlockDetector detector;
    bool firing = false;
    double fired_evidence = 0;  ///< what it had when it fired
    double budget_spent = 0;    ///< by its firing, of the period's
    uint64_t blocks_since_firing = 0;
    std::array<double, kRecentBlocks> recent{};
    size_t recent_count = 0;    ///< all that were ever put there
    size_t blocks_without = 0;  ///< since then, that had no value for it; of this process

    double Recent() const;  ///< mean of `recent`; NaN when there are none
    size_t recent_size() const { return std::min(recent_count, kRecentBlocks); }
    /// `recent` is of rows that are no longer the latest.
    bool stale() const { return blocks_without >= kRecentBlocks; }
  };
  struct Window {
    uint64_t rows = 0;
    uint64_t answers = 0;
    std::vector<BinnedCounts> numbers;
    std::vector<double> sums;  ///< of differences from the reference's shift
    std::vector<uint64_t> classes;
  };

  /// Whether there is room for so many more detectors.
  using Admit = std::function<bool(size_t more, SteadyTime now)>;

  /// Without `admit` there always is.
  DriftTrack(Of of, std::vector<std::string> names, DriftOptions options, CollectOptions collect,
             Admit admit = nullptr);

  /// `at`: when the row was, on the clock of `now`, where that is known apart.
  void Add(std::span<const float> numbers, std::span<const std::string_view> classes, WallTime wall,
           SteadyTime now, std::optional<SteadyTime> at = {});
  /// Compares with this from now on. False when it is not of this many numbers.
  /// Where there is no room for its detectors, distances alone are told, and room is asked for again
  /// every kRecentBlocks blocks.
  bool Use(std::shared_ptr<const Reference> reference, SteadyTime now);
  /// Compares with what the other one is compared with.
  bool Follow(const DriftTrack& other, SteadyTime now);
  /// Rows have more numbers: these are the names of all. A reference that is being collected takes them
  /// in, one in use does not.
  void Widen(std::vector<std::string> names);
  /// Collects another reference from here on.
  void TakeAnew();

  Of of() const { return of_; }
  Harm harm() const;
  const std::shared_ptr<const Reference>& reference() const { return reference_; }
  bool collecting() const { return builder_ != nullptr; }
  uint64_t collected() const { return builder_ ? builder_->rows() : 0; }
  size_t reference_rows() const { return collect_.rows; }
  std::vector<Stream>& streams() { return streams_; }
  const std::vector<Stream>& streams() const { return streams_; }
  /// There was no room for its detectors.
  bool unwatched() const { return unwatched_; }
  uint64_t looks() const { return looks_; }
  /// Grows with all that EvidenceBytes may tell anew.
  uint64_t changes() const { return changes_; }
  /// Raises its alarm, with what it had gathered.
  void Fire(Stream& stream, double budget_spent);
  /// Its alarms end.
  void Quieten();
  double LooksPerSecond(SteadyTime now) const;
  /// The last one that was full; null while there is none.
  const Window* window() const { return closed_ ? &*closed_ : nullptr; }
  const Window& open() const { return open_; }  ///< the one that is not full yet
  const std::vector<std::string>& names() const { return names_; }
  /// Numbers that are compared with something, or collected.
  size_t width() const { return reference_ ? reference_->numbers.size() : names_.size(); }
  /// Whether a row is known to have had this number of the reference: one that a file alone has is not
  /// missing in the requests.
  bool Met(size_t number) const { return number < unmet_.size() && unmet_[number] == 0; }
  const DriftOptions& options() const { return options_; }

  /// The evidence of all detectors. Restore gives false, and changes nothing, for bytes that are not
  /// of this track's reference.
  std::string EvidenceBytes(SteadyTime now) const;
  bool RestoreEvidence(std::string_view bytes, SteadyTime now);

 private:
  void Collect(std::span<const float> numbers, std::span<const std::string_view> classes,
               WallTime wall, SteadyTime now, SteadyTime at);
  void Compare(std::span<const float> numbers, std::span<const std::string_view> classes,
               SteadyTime now, SteadyTime at);
  bool firing() const;
  void Arm(SteadyTime now);
  void CloseBlock(SteadyTime now, SteadyTime at);
  void OpenWindow(SteadyTime at);

  const Of of_;
  std::vector<std::string> names_;
  const DriftOptions options_;
  const CollectOptions collect_;
  const Admit admit_;
  std::unique_ptr<ReferenceBuilder> builder_;  ///< null: nothing is collected
  SteadyTime collecting_since_{};              ///< as are all times but armed_, the rows' own
  std::shared_ptr<const Reference> reference_;
  ClassTable classes_;  ///< the reference's first, in its order
  std::vector<Stream> streams_;
  bool unwatched_ = false;
  uint64_t changes_ = 0;
  BlockSums block_;
  std::vector<uint8_t> unmet_;  ///< by number of the reference
  SteadyTime next_block_{};
  uint64_t looks_ = 0;
  SteadyTime armed_{};
  Window open_;
  SteadyTime opened_{};
  std::optional<Window> closed_;
};

}  // namespace leadsman
