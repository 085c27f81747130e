#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/status.h"

namespace leadsman {

/// A thread that runs `run`, under the first 15 letters of `name`. RESOURCE_EXHAUSTED when the system has none to give: at a
/// limit of processes a std::thread would throw.
Result<std::thread> StartThread(const std::string& name, std::function<void()> run);

}  // namespace leadsman
