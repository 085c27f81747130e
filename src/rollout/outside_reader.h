#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "rollout/plan.h"

namespace leadsman {

struct RolloutState;

/// In the place of a gate's index: what is asked is the approval of the present step.
inline constexpr size_t kApprovalQuestion = 1000;

/// What a gate wants to know from outside, as it is to be asked.
struct OutsideQuestion {
  int64_t rollout = 0;
  size_t gate = 0;          ///< index into the plan's gates, or kApprovalQuestion
  int step = 0;             ///< in which it is asked; -1: while its traffic was not set
  Duration step_elapsed{};  ///< of this step, by then
  RolloutGate about;        ///< address or url, timeout, files with secrets
  std::string text;  ///< kPromql: the query, its placeholders filled in; kWebhook: the body, JSON
  std::optional<ApprovalWebhook> approval = {};  ///< of kApprovalQuestion, instead of `about`
};

/// What came of a question. Part of StepInput, and so journaled: a replay asks nobody.
struct OutsideReading {
  /// In the order of the journal's numbers: new ones come last.
  enum class Kind {
    kValue,     ///< kPromql: a number, which the gate's bounds are held against
    kNoData,    ///< kPromql: nothing, or no number
    kPass,      ///< kWebhook; an approval: given
    kFail,      ///< kWebhook; an approval: refused
    kHold,      ///< kWebhook; an approval: not decided yet
    kNoAnswer,  ///< not reached, not in time, not understood; `reason` says which
  };
  size_t gate = 0;
  int step = 0;
  Duration step_elapsed{};  ///< of the question
  Kind kind = Kind::kNoAnswer;
  double value = 0;
  std::string reason;  ///< in words; may be empty
  friend bool operator==(const OutsideReading&, const OutsideReading&) = default;
};

/// Asks others on behalf of gates, on threads of its own: nothing here waits for anybody. Called on the
/// controller's thread; safe from any.
class OutsideReader {
 public:
  virtual ~OutsideReader() = default;
  /// Has it asked. The answer, or why there is none, is there to be taken within the gate's timeout
  /// and the time that it waits for a free thread. While a question of the same gate is under way, another is dropped.
  virtual void Ask(OutsideQuestion question) = 0;
  /// What has been answered since the last call, of one rollout, in the order of the answers.
  virtual std::vector<OutsideReading> Take(int64_t rollout) = 0;
  /// It has ended: answers to come are nobody's.
  virtual void Forget(int64_t rollout) = 0;
};

bool IsOutside(RolloutGate::Kind kind);  ///< kPromql, kWebhook
/// What people call the gate: its name, or that of its kind.
std::string_view NameOf(const RolloutGate& gate);
/// How many failing answers in a row take the candidate back.
int FailuresAllowed(const RolloutGate& gate);

/// {{model}}, {{stable}} and {{candidate}} filled in; what they stand for is escaped as in a quoted text of PromQL.
std::string FillIn(std::string_view query, const RolloutState& state);
/// What is wrong with the placeholders of a query, or nothing.
std::string CheckPlaceholders(std::string_view query);
/// Host and port of a URL, which may be shown: many services take a webhook's path for the secret.
std::string HostOf(std::string_view url);
/// What a webhook is told that is asked for the approval of the present step, as JSON. The same for each try.
std::string ApprovalBody(int64_t rollout, const RolloutState& state);
/// What a webhook is told of a rollout, as JSON.
std::string WebhookBody(int64_t rollout, const RolloutGate& gate, const RolloutState& state);

}  // namespace leadsman
