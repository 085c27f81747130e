#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman::intake {

/// How a program lays its JSON lines out: the same members in the same order, so that between two values there always stands the
/// same text. A further line is read by comparing that text and looking for the ends of the values.
///
///   std::optional<JsonLayout> layout = JsonLayout::Of(line);  // which a JSON library has read without complaint
///   if (layout && layout->Read(next, values)) …               // next is JSON as well, and these are its values
///
/// Values are strings without escapes or bytes beyond ASCII, numbers and words, and lists of the latter, in objects of any depth.
/// All else is for a JSON library, as is a line that is laid out otherwise: nothing is guessed. Immutable.
class JsonLayout {
 public:
  static constexpr size_t kMaxValues = 512;

  struct Value {
    std::string_view
        text;  ///< as it stands; of a string what is between the quotes, of a list with its brackets
    bool quoted = false;
  };

  /// Nothing when the line has something that no layout knows.
  static std::optional<JsonLayout> Of(std::string_view line);

  /// False when the line is laid out otherwise. `values` are then of no use.
  bool Read(std::string_view line, std::vector<Value>& values) const;

  /// Of lines that have some values in common: those of `fixed` are taken for a part of what stands between the others, and only
  /// the others are read. `values` are what Read() has made of one such line.
  JsonLayout With(std::span<const Value> values, const std::vector<bool>& fixed) const;

  /// Of each value the names that lead to it, from the outermost object inwards.
  const std::vector<std::vector<std::string>>& paths() const { return paths_; }

 private:
  class Learner;

  std::string
      text_;  ///< what stands before each value, one after the other, and behind the last one
  std::vector<uint32_t> sizes_;  ///< of its pieces, one more than there are values
  std::vector<std::vector<std::string>> paths_;
};

}  // namespace leadsman::intake
