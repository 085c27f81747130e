#pragma once

#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// Inputs of models of which nothing is to be kept, not even in statistics (monitor.redact with field: input). An input is said by its
/// name; "[3]" is the value in the place 3, from 0, of requests that name none of their values.
///
/// Immutable: safe from any thread.
class DroppedInputs {
 public:
  DroppedInputs() = default;
  explicit DroppedInputs(std::span<const std::string> inputs);

  bool empty() const { return inputs_.empty(); }
  bool Has(std::string_view name) const { return inputs_.contains(name); }
  bool HasPlace(size_t place) const { return places_.contains(place); }
  /// As they were said, sorted.
  std::vector<std::string> inputs() const { return {inputs_.begin(), inputs_.end()}; }

 private:
  std::set<std::string, std::less<>> inputs_;
  std::set<size_t> places_;
};

/// "[3]"
std::string InputOfPlace(size_t place);

}  // namespace leadsman
