#include "options.h"

#include <algorithm>
#include <charconv>

namespace leadsman_plugin {

Options::Options(const leadsman_load_spec& spec) : spec_(spec) {}

const char* Options::Find(const char* key) {
  known_.push_back(key);
  for (size_t i = 0; i < spec_.option_count; ++i) {
    if (std::string_view(spec_.options[i].key) == key) return spec_.options[i].value;
  }
  return nullptr;
}

std::string Options::Text(const char* key, std::string_view otherwise) {
  const char* value = Find(key);
  if (value == nullptr) return std::string(otherwise);
  if (*value == '\0') {
    throw Failure{LEADSMAN_INVALID_ARGUMENT,
                  "option \"" + std::string(key) + "\" is empty; give a text or leave it out"};
  }
  return value;
}

int64_t Options::Number(const char* key, int64_t otherwise, int64_t least, int64_t most) {
  const char* value = Find(key);
  if (value == nullptr) return otherwise;
  std::string_view text = value;
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT, "option \"" + std::string(key) + "\": \"" + value +
                                                 "\" is not a whole number from " +
                                                 std::to_string(least) + " to " +
                                                 std::to_string(most)};
  }
  return number;
}

size_t Options::Choice(const char* key, std::initializer_list<const char*> choices) {
  const char* value = Find(key);
  if (value == nullptr) return 0;
  std::string list;
  size_t at = 0;
  for (const char* choice : choices) {
    if (std::string_view(choice) == value) return at;
    ++at;
    list += (list.empty() ? "" : ", ") + std::string(choice);
  }
  throw Failure{LEADSMAN_INVALID_ARGUMENT,
                "option \"" + std::string(key) + "\": \"" + value + "\" is not one of " + list};
}

void Options::Finish() const {
  for (size_t i = 0; i < spec_.option_count; ++i) {
    std::string_view key = spec_.options[i].key;
    if (std::any_of(known_.begin(), known_.end(), [&](const char* k) { return key == k; }))
      continue;
    std::string list;
    for (const char* known : known_) list += (list.empty() ? "" : ", ") + std::string(known);
    throw Failure{LEADSMAN_INVALID_ARGUMENT,
                  "unknown option \"" + std::string(key) + "\"; there are: " + list};
  }
}

}  // namespace leadsman_plugin
