#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intake/field.h"

namespace leadsman::intake {

/// A line's layout, declared field by field:
///
///   $remote_addr - $remote_user [$time_local] "$request" $status ${latency_ms}ms
///
/// `$name` or `${name}` is a field, `$_` one to skip, `$$` a dollar; the rest stands in the line as it is. Names are those of
/// a configuration (FieldNames()) and the known ones (FindKnownField()), so that a log_format of nginx can be pasted: its
/// variables that say nothing here are skipped. A field ends where the text behind it begins; a quote behind a backslash ends
/// none, nor does a space behind a comma (nginx writes lists so).
///
/// Matching looks for the end of each field and never goes back: no line costs more than its length. Immutable once compiled.
class Pattern {
 public:
  static constexpr size_t kMaxBytes = 4096;
  /// INVALID_ARGUMENT with the position and the fix.
  static Result<Pattern> Compile(std::string_view text);

  enum class Match {
    kNo,   ///< the line is laid out otherwise
    kYes,  ///< taken apart
    kBad,  ///< laid out so, but its time or status cannot be read
  };
  /// `features`, of feature_names().size(), takes the features: NaN where the line says no number.
  Match Apply(std::string_view line, TimeParser& time, std::span<float> features,
              LogRecord& record) const;

  bool Has(Field field) const;
  const std::vector<std::string>& feature_names() const { return parts_.features; }
  const std::vector<std::string>& segment_names() const { return parts_.segments; }

 private:
  struct Piece {
    FieldTarget target;
    std::string literal;  ///< what ends the field; empty: the end of the line
    bool before_number =
        false;  ///< the text behind the literal must begin like a number: the literal may occur in the field
    size_t position = 0;  ///< in the pattern's text
    size_t first = 0;     ///< of the literal's bytes the first, as place in firsts_
  };
  template <typename FindFirst>
  static const char* FindEnd(const Piece& piece, const char* at, const char* end, FindFirst find);
  template <typename FindFirst>
  Match Apply(std::string_view line, TimeParser& time, std::span<float> features, LogRecord& record,
              FindFirst find) const;
  static Status AddField(std::string_view name, size_t position, Pattern& pattern);

  std::string prefix_;
  std::vector<Piece> pieces_;
  std::string firsts_;  ///< the bytes that literals begin with; empty: too many
  PartNames parts_;
};

}  // namespace leadsman::intake
