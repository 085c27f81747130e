#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace leadsman {

/// What may be wrong with a model service, the most harmful first.
enum class AlarmKind : uint8_t {
  kErrorBurn,        ///< errors use up the objective's error budget too fast
  kLatencyBurn,      ///< too many answers are slower than the objective says
  kAccuracy,         ///< labels say: below the accuracy that was asked for
  kQuality,          ///< labels say: another measure misses what was asked for
  kRiskIncrease,     ///< labels say: worse than in the reference
  kPredictionDrift,  ///< the answers are distributed otherwise than in the reference
  kFeatureDrift,     ///< an input is
  kTrafficStopped,   ///< requests that used to come do not
  kSchemaViolation,  ///< inputs that the schema does not allow
  kCaptureLoss,      ///< the monitor itself misses events: all other findings know less
};
inline constexpr size_t kAlarmKindCount = 10;
std::string_view AlarmKindName(AlarmKind kind);  ///< "error_burn", …, as in the API and metrics
/// Why no bound on the false alarms of a kind is proven, of any model; empty: one is, as far as a stream's own reference allows.
std::string_view WhyNotGuaranteed(AlarmKind kind);

enum class AlarmSeverity : uint8_t { kPage, kTicket, kInfo };
std::string_view AlarmSeverityName(AlarmSeverity severity);  ///< "page", "ticket", "info"

/// What a finding is about. An alarm is the history of one subject.
struct AlarmSubject {
  AlarmKind kind = AlarmKind::kErrorBurn;
  std::string model;    ///< empty: the whole process
  int64_t version = 0;  ///< 0: all of the model, or of no known version
  std::string of;       ///< the feature, class, rule or log; empty where there is only one

  friend auto operator<=>(const AlarmSubject&, const AlarmSubject&) = default;
};

/// One watch's word on one subject at one look. Which numbers mean what is the kind's affair and
/// stands in docs/alarms.md; `summary` says it in words.
struct Finding {
  AlarmSubject subject;
  AlarmSeverity severity = AlarmSeverity::kTicket;
  bool wrong = false;  ///< what the alarm is about holds now
  /// Not wrong, but not known to be well either: too little was seen, as after a restart. What fires goes on firing.
  bool unknown = false;
  double evidence = 0;   ///< e-value, burn rate, accuracy, seconds without a request
  double threshold = 0;  ///< what `evidence` is held against
  double budget_spent =
      0;  ///< share of the AlarmBudget's period that this firing may cost; 0: none
  bool guaranteed = false;         ///< the bound on false alarms is proven for it
  uint64_t samples = 0;            ///< requests, rows or labels that were looked at
  uint64_t reference_samples = 0;  ///< and those they were held against
  std::string summary;             ///< one sentence: what, by how much, what to look at
  std::vector<std::pair<std::string, std::string>> details;  ///< what explains it
};

/// Something that is looked at again and again. Look is called by one thread, a few seconds apart;
/// it tells all its subjects each time, those that are well too. It does not block.
class Watch {
 public:
  virtual ~Watch() = default;
  virtual std::vector<Finding> Look(WallTime wall, SteadyTime now) = 0;
};

}  // namespace leadsman
