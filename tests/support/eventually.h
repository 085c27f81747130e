#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace leadsman {

/// Whether `condition` comes to hold: for what another thread or process does in its own time. Ends early only for what is
/// broken; nothing is measured.
inline bool Eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 4000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace leadsman
