#include "intake/mapped_places.h"

#include <simdjson.h>

#include <optional>
#include <set>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kMaxDepth = 8;
constexpr size_t kMaxNames = 4096;
constexpr size_t kMaxShown = 60;

/// Of all members, with those that lead to them before a dot.
void AddNames(dom::object object, const std::string& before, size_t depth,
              std::set<std::string>& names) {
  for (const auto& [key, value] : object) {
    if (names.size() >= kMaxNames) return;
    std::string name = StrCat(before, key);
    dom::object inner;
    const bool deeper = depth < kMaxDepth && value.get(inner) == simdjson::SUCCESS;
    if (deeper) AddNames(inner, name + ".", depth + 1, names);
    names.insert(std::move(name));
  }
}

std::set<std::string> NamesOfJson(std::span<const std::string_view> lines) {
  std::set<std::string> names;
  dom::parser parser;
  for (std::string_view line : lines) {
    dom::object object;
    if (parser.parse(line.data(), line.size()).get(object) == simdjson::SUCCESS)
      AddNames(object, "", 1, names);
  }
  return names;
}

std::set<std::string> NamesOfLogfmt(std::span<const std::string_view> lines) {
  std::set<std::string> names;
  for (std::string_view line : lines) {
    for (std::string_view pair : Split(line, ' ')) {
      if (names.size() < kMaxNames) names.emplace(pair.substr(0, pair.find('=')));
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> PlacesNowhere(
    std::span<const std::string_view> lines,
    const std::vector<std::pair<std::string, std::string>>& fields, bool json) {
  if (fields.empty()) return {};
  const std::set<std::string> names = json ? NamesOfJson(lines) : NamesOfLogfmt(lines);
  std::vector<std::string> nowhere;
  for (const auto& [field, where] : fields) {
    if (names.contains(where)) continue;
    const std::optional<std::string> near =
        DidYouMean(where, std::vector<std::string>(names.begin(), names.end()));
    nowhere.push_back(
        StrCat(CutUtf8(where, kMaxShown),
               near ? StrCat(" (did you mean ", CutUtf8(*near, kMaxShown), "?)") : ""));
  }
  return nowhere;
}

}  // namespace leadsman::intake
