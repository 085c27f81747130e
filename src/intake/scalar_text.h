#pragma once

// For .cc files only: it brings the JSON library.
#include <simdjson.h>

#include <array>
#include <charconv>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman::intake {

/// Predictions and labels as texts: numbers as they are compared, so that 7 and 7.0 are one class.
class ScalarTexts {
 public:
  void Clear() {
    texts_.clear();
    numbers_.clear();
  }
  /// False when the value is none: a list, an object, null.
  bool Add(simdjson::dom::element value) {
    std::string_view text;
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    if (value.get_string().get(text) == simdjson::SUCCESS) {
      texts_.push_back(text);
    } else if (value.get_int64().get(integer) == simdjson::SUCCESS) {
      AddNumber(integer);
    } else if (value.get_double().get(number) == simdjson::SUCCESS) {
      AddNumber(number);
    } else if (value.get_bool().get(truth) == simdjson::SUCCESS) {
      texts_.push_back(truth ? "true" : "false");
    } else {
      return false;
    }
    return true;
  }
  template <typename Number>
  void AddNumber(Number number) {
    std::array<char, 32> buffer;
    char* end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr;
    texts_.push_back(numbers_.emplace_back(buffer.data(), end));
  }
  std::span<const std::string_view> texts() const { return texts_; }

 private:
  std::vector<std::string_view> texts_;
  std::deque<std::string> numbers_;  ///< what texts_ points to
};

}  // namespace leadsman::intake
