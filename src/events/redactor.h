#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/schema.h"
#include "base/status.h"
#include "events/dropped_inputs.h"

namespace leadsman {

/// One text of a request that is written or sent somewhere.
enum class RequestText : uint8_t {
  kRequestId,  ///< kept with a prediction until its label comes; in traces
  kClass,      ///< predicted classes, and labels, which are compared with them
  kPath,       ///< of requests that a log tells of and that are no predictions
  kLogLine,    ///< the begin of a line that no format explains
  kSegment,    ///< a header's or an input's value that requests are counted by
};
inline constexpr size_t kRequestTexts = 5;
std::string_view RequestTextName(
    RequestText text);  ///< "request_id", "class", "path", "log_line", "segment"

/// What is done to one of these texts, or to all of them, before it is kept; or inputs that are dropped. `monitor.redact` of the configuration.
struct RedactRule {
  enum class Of : uint8_t { kRequestId, kClass, kPath, kLogLine, kSegment, kAll, kInput };
  enum class Do : uint8_t { kDrop, kReplace, kHash, kTruncate };
  Of field = Of::kAll;
  Do action = Do::kDrop;
  std::string pattern;              ///< of kReplace: RE2
  std::string with;                 ///< of kReplace: what stands in its place
  std::string key_file;             ///< of kHash
  size_t length = 0;                ///< of kTruncate, in bytes
  std::vector<std::string> inputs;  ///< of kInput (DroppedInputs)

  bool Concerns(RequestText text) const;
  /// "hash (key_file redact.key)": for people.
  std::string ToString() const;
};
const schema::Struct<RedactRule>& RedactRuleSchema();

/// Carries the rules out, in their order. The monitor, the traces and the reader of logs ask it before a text of a request lies
/// anywhere but in memory.
///
/// A hash is the first 128 bits of an HMAC-SHA256: who has no key can neither undo it nor try names, and equal texts stay equal, so
/// that labels find their predictions. What a rule leaves empty is treated as if the request had not had it.
///
/// Immutable: safe from any thread.
class Redactor {
 public:
  /// INVALID_ARGUMENT, naming the rule, when a pattern is wrong or a key cannot be read or is shorter than 16 bytes.
  static Result<std::unique_ptr<Redactor>> Create(const std::vector<RedactRule>& rules);
  ~Redactor();

  bool Touches(RequestText of) const;
  bool empty() const;  ///< no rule of texts: all of them stay as they are
  /// Those of all rules; whoever makes or keeps anything of inputs asks it.
  const std::shared_ptr<const DroppedInputs>& dropped_inputs() const { return dropped_inputs_; }
  /// `text` as it may be kept: itself, or what was put into `scratch`.
  std::string_view Apply(RequestText of, std::string_view text, std::string& scratch) const;

 private:
  struct Step;
  Redactor();
  std::vector<Step> steps_;
  std::shared_ptr<const DroppedInputs> dropped_inputs_;
};

}  // namespace leadsman
