#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/log.h"

namespace leadsman::mlflow {

/// How many requests have had `params` for a model that takes none, which MLflow warns of and answers all the same. The log has
/// the first of them, the tenth, the hundredth, and so on. Thread-safe.
class IgnoredParams {
 public:
  void Count(std::string_view model) {
    const uint64_t total = total_.fetch_add(1) + 1;
    if (!IsPowerOfTen(total)) return;
    LOG_WARN(
        "`params` of a request are ignored: the model was logged without a schema of parameters",
        {"model", model}, {"requests", total});
  }
  uint64_t total() const { return total_.load(); }

 private:
  static bool IsPowerOfTen(uint64_t number) {
    while (number % 10 == 0) number /= 10;
    return number == 1;
  }
  std::atomic<uint64_t> total_{0};
};

}  // namespace leadsman::mlflow
