#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/database.h"

namespace leadsman {

/// Where predictions wait for their labels beyond the memory of one process, and where it is decided which process counts a
/// label. Asked by LabelJoin; everything that is asked has a ticket, under which it is answered, in the order of asking:
///
///   store.Find(7, "r-1", 0);  …  for (LabelStore::Answer& answer : store.Take()) …
///
/// Confined to the collector's thread, which a store on another machine must not hold up: it answers later.
class LabelStore {
 public:
  /// A prediction is kept for a little longer than its label timeout, so that a label that comes too late is told so instead
  /// of "unknown".
  static constexpr std::chrono::minutes kLateGrace{10};

  struct Answer {
    enum class Kind {
      kNone,     ///< to Find: there is no such prediction, or not yet
      kFound,    ///< to Find: `prediction`, and the `label` if it has one already
      kClaimed,  ///< to Claim: the label counts here
      kTaken,    ///< to either: another came first, `label`
      kFailed,   ///< cannot be told, and will not be by asking at once again
    };
    uint64_t ticket = 0;
    Kind kind = Kind::kFailed;
    KeptPrediction prediction = {};
    std::optional<std::string> label = {};
  };

  virtual ~LabelStore() = default;
  /// Of an id and row the first prediction stays.
  virtual void Keep(const KeptPrediction& prediction) = 0;
  virtual void Find(uint64_t ticket, const std::string& request_id, uint32_t row) = 0;
  /// Of all claims of one id and row one succeeds, in whichever process.
  virtual void Claim(uint64_t ticket, const KeptPrediction& prediction, const std::string& label,
                     WallTime wall) = 0;
  virtual std::vector<Answer> Take() = 0;

  /// Whether it makes sense to ask now. What was asked before is answered some time all the same.
  virtual bool ready() const { return true; }
  /// Other processes keep predictions here, too: one that is not found may come a moment later.
  virtual bool shared() const { return false; }
  /// Waits until what was asked is answered and what is to be kept is kept; false when that is not so after `timeout`.
  virtual bool Settle(std::chrono::milliseconds) { return true; }
};

}  // namespace leadsman
