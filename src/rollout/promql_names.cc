#include "rollout/promql_names.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr std::array<std::string_view, 6> kLabelLists = {"by",       "without",    "on",
                                                         "ignoring", "group_left", "group_right"};
constexpr std::array<std::string_view, 8> kWords = {"and",  "or",  "unless", "atan2",
                                                    "bool", "inf", "nan",    "offset"};

template <size_t N>
bool Among(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view one) { return EqualsIgnoreCase(one, word); });
}

bool StartsName(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == ':';
}
bool InName(char c) { return StartsName(c) || std::isdigit(static_cast<unsigned char>(c)); }

/// Walks over a query once.
class Walk {
 public:
  explicit Walk(std::string_view query) : query_(query) {}

  std::vector<std::string> Names() {
    while (at_ < query_.size()) Next();
    return std::move(names_);
  }

 private:
  void Next() {
    const char c = query_[at_];
    if (c == '#') {
      at_ = std::min(query_.find('\n', at_), query_.size());
    } else if (c == '"' || c == '\'' || c == '`') {
      TakeText();
    } else if (c == '{') {
      TakeMatchers();
    } else if (c == '[') {
      at_ = std::min(query_.find(']', at_), query_.size());
    } else if (StartsName(c)) {
      TakeWord();
    } else if (InName(c)) {
      while (at_ < query_.size() && (InName(query_[at_]) || query_[at_] == '.')) ++at_;
    } else {
      ++at_;
    }
  }

  std::string_view TakeText() {
    const char quote = query_[at_];
    const size_t begin = ++at_;
    while (at_ < query_.size() && query_[at_] != quote)
      at_ += query_[at_] == '\\' && quote != '`' ? 2 : 1;
    at_ = std::min(at_, query_.size());
    const std::string_view text = query_.substr(begin, at_ - begin);
    at_ = std::min(at_ + 1, query_.size());
    return text;
  }

  /// {code="500"}: nothing but a name that is written as a label.
  void TakeMatchers() {
    std::string before;  // without spaces
    ++at_;
    while (at_ < query_.size() && query_[at_] != '}') {
      const char c = query_[at_];
      if (c == '"' || c == '\'' || c == '`') {
        const std::string_view text = TakeText();
        if (before.ends_with("__name__=")) Add(text);
        continue;
      }
      if (c == ',')
        before.clear();
      else if (!std::isspace(static_cast<unsigned char>(c)))
        before += c;
      ++at_;
    }
    at_ = std::min(at_ + 1, query_.size());
  }

  void SkipSpace() {
    while (at_ < query_.size() && std::isspace(static_cast<unsigned char>(query_[at_]))) ++at_;
  }

  std::string_view Word() {
    const size_t begin = at_;
    while (at_ < query_.size() && InName(query_[at_])) ++at_;
    return query_.substr(begin, at_ - begin);
  }

  void TakeWord() {
    const std::string_view word = Word();
    SkipSpace();
    const bool called = at_ < query_.size() && query_[at_] == '(';
    if (Among(kLabelLists, word)) {
      if (called) at_ = std::min(query_.find(')', at_), query_.size());
      return;
    }
    if (called || Among(kWords, word)) return;
    // `sum by (code) (…)`
    const size_t here = at_;
    const std::string_view next = Word();
    at_ = here;
    if (EqualsIgnoreCase(next, "by") || EqualsIgnoreCase(next, "without")) return;
    Add(word);
  }

  void Add(std::string_view name) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.emplace_back(name);
  }

  std::string_view query_;
  size_t at_ = 0;
  std::vector<std::string> names_;
};

}  // namespace

std::vector<std::string> MetricsOf(std::string_view query) { return Walk(query).Names(); }

}  // namespace leadsman
