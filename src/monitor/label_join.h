#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "events/same_answer.h"
#include "monitor/labels/label_store.h"

namespace leadsman {

/// Which predictions of one model are kept for labels: all, or beyond `max_rate` rows a second a
/// share chosen by the hash of the request id, so that all rows of a request and all replicas
/// choose alike. Each kept row then stands for 1 / share. Externally synchronised.
class JoinSampler {
 public:
  explicit JoinSampler(double max_rate) : max_rate_(max_rate) {}
  /// 0: not kept; else the weight.
  double Weigh(std::string_view request_id, size_t rows, SteadyTime now);

 private:
  void Roll(SteadyTime now);
  const double max_rate_;
  double share_ = 1;
  double seen_ = 0;  ///< rows in this interval
  double kept_ = 0;
  SteadyTime interval_start_{};
};

/// Joins labels with the predictions they belong to, whichever comes first. Recent predictions are
/// held in memory; others are asked of the store. A label that finds nothing waits a while, as it
/// may have overtaken its prediction.
///
///   label ─┬─ in memory ───────────────→ duplicate | late | mismatched | claimed
///          └─ asked of the store ─ found → the same
///                                └─ not found → waits kPatience → the same | unknown
///   claimed → joined | duplicate (another process was first)
///
/// Confined to the collector's thread. Only a store that reads the disk blocks.
class LabelJoin {
 public:
  static constexpr std::chrono::seconds kPatience{60};
  /// How often a label that waits is looked up again in a store that others write to.
  static constexpr std::chrono::seconds kLookAgain{5};
  /// Lookups in one Resolve(): a bulk upload of old labels, each a read from a cold disk perhaps,
  /// must not keep the collector from the rings until they overflow.
  static constexpr size_t kLookupsAtOnce = 512;
  /// Questions that a store has not answered yet.
  static constexpr size_t kMostAsked = 4096;

  struct Limits {
    size_t predictions = 128 << 10;  ///< held in memory
    size_t waiting = 64 << 10;       ///< labels without a prediction
  };
  /// A label that counts.
  struct Joined {
    KeptPrediction prediction;
    std::string label;
    bool wrong = false;
    VersionKey version() const { return {prediction.model, prediction.version}; }
    bool first_of_request() const { return prediction.row == 0; }
  };
  struct Counters {
    uint64_t joined = 0;
    uint64_t unknown = 0;
    uint64_t duplicate = 0;
    uint64_t conflicting = 0;  ///< of the duplicates: with another value than the first
    uint64_t late = 0;
    uint64_t mismatched = 0;  ///< text for a number or a number for text: no answer to compare
  };

  LabelJoin(Limits limits, LabelStore& store) : limits_(limits), store_(store) {}

  /// False: one of this id and row is there already, and stays.
  bool AddPrediction(KeptPrediction prediction, WallTime wall, SteadyTime now);
  void AddLabel(GroundTruth label, WallTime wall, SteadyTime now);
  /// A prediction that came with its label: nothing is kept and nothing waits. Nothing when the two cannot be compared.
  std::optional<Joined> JoinAtOnce(const KeptPrediction& prediction, const std::string& label);
  /// Takes what the store has answered, asks it for what was not in memory, and gives up on what has
  /// waited long enough: kLookupsAtOnce labels at most. False when there is more to be done at once.
  bool Resolve(WallTime wall, SteadyTime now);
  /// As many labels wait for their lookup as may: add no more before the next Resolve.
  bool full() const { return lookups_.size() >= limits_.waiting; }

  /// What has happened since the last call.
  std::vector<Joined> TakeJoined() { return std::exchange(joined_, {}); }

  const Counters& counters() const { return counters_; }
  /// Of counters().mismatched, those of each model that has any.
  std::map<std::string, uint64_t> Mismatched() const;
  size_t waiting() const { return lookups_.size() + asked_.size() + waiting_.size(); }

 private:
  struct Entry {
    KeptPrediction prediction;
    SteadyTime since{};
    bool from_database = false;
    bool labelled = false;
    std::string label;
  };
  struct Waiting {
    GroundTruth label;
    std::optional<SteadyTime> until;  ///< absent: the store has not been asked
    SteadyTime next{};                ///< when it is asked again
  };
  /// What the store has been asked.
  struct Asked {
    Waiting waiting;
    bool last_look = false;                 ///< of a label that waits: then it is unknown
    std::optional<KeptPrediction> claimed;  ///< a claim of this; absent: a lookup
  };

  /// Which kinds of answers a model has given.
  struct Kinds {
    bool number = false;
    bool text = false;
    bool missing = false;     ///< a class is called as others write "no value"
    uint64_t mismatched = 0;  ///< labels that did not fit them
  };

  void Learn(const KeptPrediction& prediction);
  bool Comparable(const KeptPrediction& prediction, const std::string& label) const;
  void CountMismatched(const KeptPrediction& prediction);
  Entry& Remember(std::string key, Entry entry);
  bool MayAsk() const { return store_.ready() && asked_.size() < kMostAsked; }
  void LookUp(Waiting waiting, bool last_look, WallTime wall, SteadyTime now);
  void Join(const Entry& entry, const GroundTruth& label, WallTime wall, SteadyTime now);
  void TakeAnswers(WallTime wall, SteadyTime now);
  void OnAnswer(Asked asked, LabelStore::Answer answer, WallTime wall, SteadyTime now);
  void OnTaken(const GroundTruth& label, const std::string& taken);
  void Mark(const GroundTruth& label, const std::string& with);
  void CountJoined(Asked asked);
  void NotFound(Asked asked, SteadyTime now);
  void Wait(Waiting waiting, SteadyTime now);
  void LookAgain(SteadyTime now, WallTime wall);
  /// The front of waiting_order_ has waited long enough, or too many wait.
  bool FrontIsDue(SteadyTime now) const;
  void ForgetJoinedWaiters();

  const Limits limits_;
  LabelStore& store_;
  std::unordered_map<std::string, Entry> memory_;
  std::deque<std::string> order_;              ///< keys of memory_, oldest first
  std::deque<GroundTruth> lookups_;            ///< to be looked up, in the order of arrival
  std::unordered_map<uint64_t, Asked> asked_;  ///< by ticket
  uint64_t last_ticket_ = 0;
  std::unordered_multimap<std::string, Waiting> waiting_;
  std::deque<std::pair<SteadyTime, std::string>>
      waiting_order_;  ///< by Waiting::next; may name labels that have been joined since, as many
                       ///< again at most
  SteadyTime ready_since_ = SteadyTime::min();
  bool was_ready_ = true;
  std::unordered_map<std::string, Kinds> kinds_;  ///< by model
  std::vector<Joined> joined_;
  Counters counters_;
};

}  // namespace leadsman
