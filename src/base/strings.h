#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// StrCat("version ", 3, " of ", name): strings, characters and integers in one allocation or two.
namespace strings_internal {
inline void Append(std::string& out, std::string_view v) { out += v; }
inline void Append(std::string& out, const char* v) { out += v; }
inline void Append(std::string& out, const std::string& v) { out += v; }
inline void Append(std::string& out, char v) { out += v; }
template <std::integral T>
void Append(std::string& out, T v) {
  out += std::to_string(v);
}
void Append(std::string& out, double v);
}  // namespace strings_internal

template <typename... Args>
std::string StrCat(const Args&... args) {
  std::string out;
  (strings_internal::Append(out, args), ...);
  return out;
}

std::vector<std::string_view> Split(std::string_view text, char separator);
std::string Join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view Trim(std::string_view text);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

/// The whole text as a decimal integer, or nothing.
std::optional<int64_t> ParseInt64(std::string_view text);
std::optional<double> ParseDouble(std::string_view text);

/// %41 → A. Nothing when an escape is malformed. '+' stays '+'.
std::optional<std::string> UrlDecode(std::string_view text);
std::string UrlEncode(std::string_view text);

/// The first `bytes` of `text` at most, without the part of a character that would be left at the end: for texts of clients in
/// messages, which as a whole have to stay UTF-8.
std::string_view CutUtf8(std::string_view text, size_t bytes);
/// `text` with U+FFFD for what is not UTF-8.
std::string ToUtf8(std::string_view text);

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
void AppendJsonString(std::string& out, std::string_view text);

/// "digits, iris and mlp": for messages that list what exists.
std::string HumanList(const std::vector<std::string>& items, std::string_view when_empty = "none");

/// The candidate closest to `word` by edit distance, when close enough to be a slip of the hand.
std::optional<std::string> DidYouMean(std::string_view word,
                                      const std::vector<std::string>& candidates);

}  // namespace leadsman
