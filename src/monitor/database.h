#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "monitor/kept_counts.h"
#include "monitor/monitor.h"

namespace leadsman {

/// One row of an answer, kept until its label comes.
struct KeptPrediction {
  std::string request_id;
  uint32_t row = 0;
  std::string model;
  int64_t version = 0;
  std::string predicted;
  double score = -1;  ///< of `score_of`
  int64_t at_ms = 0;
  int64_t expires_ms = 0;  ///< at_ms plus the model's label timeout
  double weight = 1;       ///< how many predictions it stands for: 1 / share kept
  bool drawn = false;      ///< as PredictionEvent::drawn
  AnswerKind answer = AnswerKind::kUnknown;
  ScoreOf score_of = ScoreOf::kNothing;
  std::string segments = {};             ///< KeptSegments
  std::vector<float> class_scores = {};  ///< of this row: PredictionEvent::class_scores
};
struct StoredPrediction {
  KeptPrediction prediction;
  std::optional<std::string> label;  ///< when it has been labelled already
};
struct LabelMark {
  std::string request_id;
  uint32_t row = 0;
  std::string label;
  int64_t at_ms = 0;
};
/// Sums over joined labels of one version. Weighted sums are for estimates, request counts for
/// tests.
struct QualityTotals {
  double labelled = 0;
  double wrong = 0;
  uint64_t labelled_requests = 0;
  uint64_t wrong_requests = 0;
  uint64_t drawn_labelled = 0;  ///< of labelled_requests
  uint64_t drawn_wrong = 0;     ///< of wrong_requests
};
/// Which message of an edge's process was counted last (monitor/edges/edge_book.h).
struct EdgeMark {
  std::string edge;
  uint64_t process = 0, sequence = 0;
  int64_t seen_ms = 0;
  bool stopped = false;
};
using VersionKey = std::pair<std::string, int64_t>;  ///< model, version

/// A reference or the evidence of a version's detectors, in their byte forms, or its schema as JSON.
struct DriftRow {
  /// Of a version of which no request has come since it was forgotten, or since a start: when it is old
  /// enough, all rows of the version go.
  static constexpr std::string_view kForgotten = "forgotten";

  VersionKey key;
  std::string what;   ///< "inputs.reference", "answers.evidence", "schema", …
  std::string bytes;  ///< empty: there is no such row any more
};

/// When something was last heard of a version.
struct SeenVersion {
  bool observed = false;  ///< it was served elsewhere
  int64_t last_ms = 0;
};

/// The monitor's SQLite file: predictions that wait for labels, quality totals, details and losses, windows,
/// references and evidence of drift, names of features, which versions there were, what watches have counted.
///
/// Thread safety: Write by one thread at a time, Find by one thread at a time, both may run at once
/// (two connections, WAL); ReadWindows and the Load functions from any thread. All may block for
/// the disk: nothing of this is on a request's path. Errors: UNAVAILABLE with SQLite's words;
/// nothing of a failed Write is kept.
///
/// A disk without room keeps nobody from starting: what lies there is read, nothing is written, and each Write tries to open it
/// as it should be (`why_not_open`).
class Database {
 public:
  struct Batch {
    std::vector<KeptPrediction> predictions;
    std::vector<LabelMark> marks;
    std::map<VersionKey, QualityTotals> quality;  ///< the present values
    std::map<VersionKey, std::string> details;    ///< the present QualityDetail, in its byte form
    std::map<VersionKey, std::string> losses;     ///< the present LossTotals, likewise
    std::vector<std::pair<VersionKey, WindowSummary>> windows;
    std::map<std::pair<VersionKey, std::string>, std::string> drift;  ///< bytes by DriftRow's key
    std::map<std::pair<std::string, size_t>, std::string> names;      ///< of features: model, place
    std::map<VersionKey, SeenVersion> seen;
    /// By watch and model; one without bytes is deleted.
    std::map<std::pair<std::string, std::string>, CountStore::Stored> counts;
    /// In one transaction with what the edges' messages counted.
    std::map<std::pair<std::string, uint64_t>, EdgeMark> edges;
    bool empty() const {
      return predictions.empty() && marks.empty() && quality.empty() && details.empty() &&
             losses.empty() && windows.empty() && drift.empty() && names.empty() && seen.empty() &&
             counts.empty() && edges.empty();
    }
  };
  struct Purge {
    int64_t now_ms = 0;
    int64_t predictions_expired_before_ms = 0;
    int64_t windows_before_ms = 0;
    int64_t edges_before_ms = 0;
    int64_t forgotten_before_ms = 0;  ///< 0: not looked at
    int max_predictions = 1000;       ///< in one Write; the rest is left for the next
  };

  /// Creates the file when there is none. One that is no database or is broken is put aside as
  /// "<path>.broken-<ms>" and a new one begun. FAILED_PRECONDITION when a newer program has written
  /// it.
  static Result<std::unique_ptr<Database>> Open(const std::string& path, WallTime now);
  ~Database();

  /// Why it cannot be written yet: the disk had no room for what opening it takes. OK once it is open.
  Status why_not_open() const;

  /// One transaction: all of the batch, and the purge.
  Status Write(const Batch& batch, const Purge& purge);
  /// The first prediction kept under this id and row.
  Result<std::optional<StoredPrediction>> Find(const std::string& request_id, uint32_t row);

  Result<std::map<VersionKey, QualityTotals>> LoadQuality();
  Result<std::map<VersionKey, std::string>> LoadDetails();
  Result<std::map<VersionKey, std::string>> LoadLosses();
  /// The versions written last come first; at most `limit` rows. Those that were forgotten before are
  /// deleted, all others are forgotten from now on, until a Write says otherwise: call it before the first.
  Result<std::vector<DriftRow>> LoadDrift(size_t limit, int64_t now_ms,
                                          int64_t forgotten_before_ms);
  /// By model the names of its features, in the order of their places. Those of models of which nothing
  /// else is kept are deleted: call it before the first Write.
  Result<std::map<std::string, std::vector<std::string>>> LoadFeatureNames();
  /// Those seen last come first; at most `limit`.
  Result<std::vector<std::pair<VersionKey, SeenVersion>>> LoadSeen(size_t limit);
  /// At most `limit` rows.
  Result<std::vector<CountStore::Stored>> LoadCounts(size_t limit);
  /// The newest first; at most `limit`.
  Result<std::vector<EdgeMark>> LoadEdges(size_t limit);
  /// Oldest first; at most `limit` of the newest.
  Result<std::vector<std::pair<VersionKey, WindowSummary>>> ReadWindows(
      std::optional<std::string> model, int64_t from_ms, size_t limit);

 private:
  struct Connection;
  /// What kept it from being opened.
  struct Failure {
    bool broken = false;   ///< what is there is no database, or damaged
    bool no_room = false;  ///< the disk takes nothing
  };
  enum class State {
    kOpen,
    kHeld,     ///< read by one connection that needs no room and lets no other one in
    kNothing,  ///< there is nothing to be read yet
    kUnread,   ///< what is there could not be read: it is not written over
  };
  explicit Database(std::string path);
  static Result<std::unique_ptr<Database>> TryOpen(const std::string& path, Failure& failure);
  void Hold() REQUIRES(mutex_);
  Status OpenNow();
  template <typename Bind, typename Take>
  Status ReadRows(const char* what, const char* sql, Bind bind, Take take);
  Status ReadRows(const char* what, const char* sql, auto take);

  const std::string path_;
  std::unique_ptr<Connection> writer_;  ///< null until it is open
  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::kOpen;  ///< once it is open, it stays so
  Status why_not_ GUARDED_BY(mutex_);
  std::unique_ptr<Connection> finder_ GUARDED_BY(mutex_);
  std::unique_ptr<Connection> held_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
