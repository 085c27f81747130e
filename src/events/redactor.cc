#include "events/redactor.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <re2/re2.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kMinKeyBytes = 16;
constexpr size_t kMaxKeyBytes = 4096;
constexpr size_t kHashBytes = 16;
/// Of one program of RE2, whose patterns come from the operator.
constexpr int64_t kMaxPatternMemory = 1 << 20;

RE2::Options PatternOptions() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxPatternMemory);
  return options;
}

std::string CheckPattern(const std::string& pattern, const std::string& with) {
  RE2 compiled(pattern, PatternOptions());
  if (!compiled.ok())
    return StrCat("pattern: ", compiled.error(), " (RE2: no look-around, no back-references)");
  std::string error;
  return compiled.CheckRewriteString(with, &error) ? "" : StrCat("with: ", error);
}

Result<std::string> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string key, ReadFile(path, kMaxKeyBytes));
  key = Trim(key);
  if (key.size() < kMinKeyBytes)
    return InvalidArgumentError(StrCat(path, " has ", key.size(), " bytes; a key has at least ",
                                       kMinKeyBytes, ": openssl rand -hex 32 > ", path));
  return key;
}

/// 7 and 7.0 are one answer: they must be one after hashing, too.
std::string_view PlainNumber(std::string_view text, std::array<char, 32>& digits) {
  const std::optional<double> number = ParseDouble(text);
  if (!number || !std::isfinite(*number) || ParseInt64(text)) return text;
  char* end = std::to_chars(digits.data(), digits.data() + digits.size(), *number).ptr;
  return {digits.data(), static_cast<size_t>(end - digits.data())};
}

std::string Hash(const std::string& key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  std::string hex;
  for (size_t i = 0; i < kHashBytes; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 15];
  }
  return hex;
}

}  // namespace

std::string_view RequestTextName(RequestText text) {
  switch (text) {
    case RequestText::kRequestId:
      return "request_id";
    case RequestText::kClass:
      return "class";
    case RequestText::kPath:
      return "path";
    case RequestText::kLogLine:
      return "log_line";
    case RequestText::kSegment:
      return "segment";
  }
  return "";
}

bool RedactRule::Concerns(RequestText text) const {
  return field == Of::kAll || static_cast<uint8_t>(field) == static_cast<uint8_t>(text);
}

std::string RedactRule::ToString() const {
  switch (action) {
    case Do::kDrop:
      return "drop";
    case Do::kReplace:
      return StrCat("replace ", pattern, " by '", with, "'");
    case Do::kHash:
      return StrCat("hash (HMAC-SHA256, key of ", key_file, ")");
    case Do::kTruncate:
      return StrCat("truncate to ", length, " bytes");
  }
  return "";
}

const schema::Struct<RedactRule>& RedactRuleSchema() {
  static const auto table = [] {
    using Of = RedactRule::Of;
    using Do = RedactRule::Do;
    schema::Struct<RedactRule> s("RedactRule",
                                 "What is done to texts of requests before they are written or "
                                 "sent anywhere (docs/privacy.md).");
    s.Required(
        "field", &RedactRule::field,
        schema::Enum<Of>({{"request_id", Of::kRequestId},
                          {"class", Of::kClass},
                          {"path", Of::kPath},
                          {"log_line", Of::kLogLine},
                          {"segment", Of::kSegment},
                          {"all", Of::kAll},
                          {"input", Of::kInput}}),
        "Request ids; predicted classes and the labels that are compared with them; paths of "
        "requests in logs that are no predictions; the begin of lines that are not "
        "recognised; the segments that requests are counted by; or all of these. Or inputs, of "
        "which nothing is kept then, not even in statistics.");
    s.Required("do", &RedactRule::action,
               schema::Enum<Do>({{"drop", Do::kDrop},
                                 {"replace", Do::kReplace},
                                 {"hash", Do::kHash},
                                 {"truncate", Do::kTruncate}}),
               "Leave it out; replace what a pattern finds; put a keyed hash in its place, which "
               "labels still find; or keep its begin.");
    s.Field("pattern", &RedactRule::pattern, schema::Text(),
            "With replace: a regular expression (RE2); each place that it finds is replaced.");
    s.Field("with", &RedactRule::with, schema::Text(),
            "With replace: what stands there instead; \\1 is the first group.");
    s.Field("key_file", &RedactRule::key_file, schema::Text(),
            "With hash: the key, at least 16 bytes. Relative to the configuration file.");
    s.Field("length", &RedactRule::length, schema::Integer<size_t>(0, 255),
            "With truncate: bytes that are kept, at least 1.");
    s.Field("inputs", &RedactRule::inputs, schema::List(schema::Text(), 0, 4096),
            "With field: input: names of inputs of any model; [3] is the value in place 3, from 0, "
            "of requests that "
            "do not name their values.");
    s.Check([](const RedactRule& rule, schema::Problems& problems) {
      if (rule.field == Of::kInput) {
        if (rule.action != Do::kDrop)
          problems.Add("do", "inputs are numbers, of which nothing is kept: do: drop");
        if (rule.inputs.empty())
          problems.Add("inputs", "field: input needs inputs, the names of those to drop");
      } else if (!rule.inputs.empty()) {
        problems.Add("inputs", "is of field: input");
      }
      auto only = [&](const char* key, bool given, Do action, const char* word) {
        if (given && rule.action != action) problems.Add(key, StrCat("is of do: ", word));
      };
      only("pattern", !rule.pattern.empty(), Do::kReplace, "replace");
      only("with", !rule.with.empty(), Do::kReplace, "replace");
      only("key_file", !rule.key_file.empty(), Do::kHash, "hash");
      only("length", rule.length != 0, Do::kTruncate, "truncate");
      if (rule.action == Do::kReplace) {
        if (rule.pattern.empty()) problems.Add("pattern", "do: replace needs a pattern");
        if (std::string wrong = CheckPattern(rule.pattern, rule.with); !wrong.empty())
          problems.Add("", wrong);
      }
      if (rule.action == Do::kHash && rule.key_file.empty())
        problems.Add("key_file", "do: hash needs a key_file");
      if (rule.action == Do::kTruncate && rule.length == 0)
        problems.Add("length",
                     "do: truncate needs a length of 1 to 255; to leave a text out use "
                     "do: drop");
    });
    return s;
  }();
  return table;
}

struct Redactor::Step {
  RedactRule rule;
  std::string key;
  std::unique_ptr<RE2> pattern;
};

Redactor::Redactor() = default;
Redactor::~Redactor() = default;

Result<std::unique_ptr<Redactor>> Redactor::Create(const std::vector<RedactRule>& rules) {
  std::unique_ptr<Redactor> redactor(new Redactor());
  std::vector<std::string> inputs;
  for (size_t i = 0; i < rules.size(); ++i) {
    const RedactRule& rule = rules[i];
    const std::string where = StrCat("monitor.redact[", i, "]");
    if (rule.field == RedactRule::Of::kInput) {
      inputs.insert(inputs.end(), rule.inputs.begin(), rule.inputs.end());
      continue;
    }
    Step step{rule, {}, nullptr};
    if (rule.action == RedactRule::Do::kHash) {
      auto key = ReadKey(rule.key_file);
      if (!key.ok()) return Annotate(key.status(), StrCat(where, ".key_file"));
      step.key = std::move(key).value();
    }
    if (rule.action == RedactRule::Do::kReplace) {
      if (std::string wrong = CheckPattern(rule.pattern, rule.with); !wrong.empty())
        return InvalidArgumentError(StrCat(where, ".", wrong));
      step.pattern = std::make_unique<RE2>(rule.pattern, PatternOptions());
    }
    redactor->steps_.push_back(std::move(step));
  }
  redactor->dropped_inputs_ = std::make_shared<const DroppedInputs>(inputs);
  return redactor;
}

bool Redactor::empty() const { return steps_.empty(); }

bool Redactor::Touches(RequestText of) const {
  for (const Step& step : steps_)
    if (step.rule.Concerns(of)) return true;
  return false;
}

std::string_view Redactor::Apply(RequestText of, std::string_view text,
                                 std::string& scratch) const {
  if (text.empty()) return text;
  for (const Step& step : steps_) {
    if (!step.rule.Concerns(of)) continue;
    switch (step.rule.action) {
      case RedactRule::Do::kDrop:
        return {};
      case RedactRule::Do::kReplace: {
        std::string replaced(text);
        if (RE2::GlobalReplace(&replaced, *step.pattern, step.rule.with) == 0) continue;
        scratch = std::move(replaced);
        text = scratch;
        break;
      }
      case RedactRule::Do::kHash: {
        std::array<char, 32> digits;
        if (of == RequestText::kClass) text = PlainNumber(text, digits);
        scratch = Hash(step.key, text);
        text = scratch;
        break;
      }
      case RedactRule::Do::kTruncate:
        text = CutUtf8(text, step.rule.length);
        break;
    }
    if (text.empty()) return text;
  }
  return text;
}

}  // namespace leadsman
