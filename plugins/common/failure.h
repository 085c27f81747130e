#pragma once

#include <string>

#include "leadsman_backend.h"

namespace leadsman_plugin {

/// What went wrong, on its way to the ABI's edge (table.h), where it becomes a code and a text.
struct Failure {
  leadsman_code code;
  std::string text;
};

}  // namespace leadsman_plugin
