#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/h2_session.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// Header fields that outlive what they came in.
class FieldList {
 public:
  void Add(std::string_view name, std::string_view value, bool secret = false);
  void Clear();
  bool empty() const { return places_.empty(); }
  /// What it holds of memory, about.
  size_t bytes() const { return text_.size() + places_.size() * sizeof(Place); }
  std::vector<H2Field> View() const;

 private:
  struct Place {
    uint32_t name, value, end;
    bool secret;
  };
  std::string text_;
  std::vector<Place> places_;
};

/// The value of the first field of this name (lower case); "" when there is none.
std::string_view ValueOf(H2Fields fields, std::string_view name);

}  // namespace leadsman::gateway
