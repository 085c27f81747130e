#pragma once

// For .cc files only: it brings the JSON library.
#include <simdjson.h>

#include <cstring>
#include <string_view>

namespace leadsman::intake {

/// A member's name without unescaping it where it holds no escape: of simdjson's on-demand reading, the part that this
/// machine's vector instructions do not reach.
template <typename Member>
bool KeyOf(Member& member, std::string_view& key) {
  simdjson::ondemand::raw_json_string raw;
  if (member.key().get(raw) != simdjson::SUCCESS) return false;
  const char* begin = raw.raw();
  const char* end = begin;
  while (*end != '"' && *end != '\\')
    ++end;  // a name ends inside the document: it has been indexed
  if (*end == '\\') return member.unescaped_key().get(key) == simdjson::SUCCESS;
  key = {begin, static_cast<size_t>(end - begin)};
  return true;
}

/// A value as it stands, without the white space behind it.
inline std::string_view TokenOf(simdjson::ondemand::value& value) {
  std::string_view token = value.raw_json_token();
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= ' ') token.remove_suffix(1);
  return token;
}

/// The text of a string, whose token is known.
inline bool StringOf(simdjson::ondemand::value& value, std::string_view token,
                     std::string_view& text) {
  if (token.size() >= 2 && token.back() == '"' && token.find('\\') == std::string_view::npos) {
    text = token.substr(1, token.size() - 2);
    return true;
  }
  return value.get_string().get(text) == simdjson::SUCCESS;
}

/// Nothing but white space is behind the document.
inline bool AtEnd(simdjson::ondemand::document& document) {
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace leadsman::intake
