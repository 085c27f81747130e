#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "events/prediction_event.h"
#include "intake/line_reader.h"
#include "intake/log_source.h"
#include "intake/record_payload.h"
#include "intake/source_counters.h"

namespace leadsman {
class Redactor;
}

namespace leadsman::intake {

/// Makes a PredictionEvent of each record that is one of a prediction. What the record does not say is marked as unknown.
///
/// Whoever can reach the service writes into its log, so names are not believed: a model and version that only ever were "not
/// found" make no profile, and beyond kMaxModels the rest is one model, "(other)".
///
/// Confined to one thread.
class RecordEvents final : public RecordSink {
 public:
  static constexpr size_t kMaxModels = 256;  ///< pairs of model and version
  static constexpr std::string_view kOtherModels = "(other)";

  struct Deps {
    const Clock& clock;
    Sink& sink;
    SourceCounters& counters;
    /// Waits a moment for the sink; false when it is not to be waited for any longer.
    std::function<bool()> wait;
    const Redactor* redactor = nullptr;  ///< of the paths that are told; null: as they are
  };
  RecordEvents(Deps deps, const LogSource& source);

  void OnRequest(const LogRecord& record) override;
  void OnError(const ErrorEvent& event) override;

  /// What became of a record that was offered.
  enum class Offered {
    kTaken,
    kNoPrediction,  ///< a request for something else; counted as such
    kUnknownModel,  ///< answered "not found", of what was never found
    kNoRoom,        ///< the sink is full; nothing was counted: offer it again
  };
  /// As OnRequest, for who cannot wait.
  Offered Offer(const LogRecord& record);

  /// Paths of POSTs, and of requests that name no method, that were no predictions, with how often: the first kMaxOtherPaths
  /// that came. Thread-safe.
  std::map<std::string, uint64_t> other_paths() const;
  static constexpr size_t kMaxOtherPaths = 20;
  /// By model the names of features in the order of their places in events; of models whose requests name them. Thread-safe.
  std::map<std::string, std::vector<std::string>> features() const { return payload_.features(); }

 private:
  bool IsPrediction(const LogRecord& record) const;
  void CountOther(const LogRecord& record);
  void CountPrediction();
  /// Fills `event_`; kTaken: it is ready for the sink.
  Offered Make(const LogRecord& record);
  /// False: it was never there.
  bool NameModel(const LogRecord& record, PredictionEvent& event);

  const Deps deps_;
  const std::string default_model_;
  std::vector<std::string> paths_;     ///< whole
  std::vector<std::string> prefixes_;  ///< of those with a * at the end
  std::map<std::string, std::set<int64_t>, std::less<>> seen_;
  size_t seen_count_ = 0;
  /// Some of `seen_`, where they are found at once; by the length and the ends of their names.
  std::array<std::pair<std::string_view, int64_t>, 64> seen_lately_;
  PredictionEvent event_;  ///< used again: a new one is hundreds of bytes to clear
  std::string decoded_;
  RecordPayload payload_;
  mutable Mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> other_paths_ GUARDED_BY(mutex_);
};

/// The protocol that a path is of, as far as it tells.
Protocol ProtocolOfPath(std::string_view path);

}  // namespace leadsman::intake
