#pragma once

#include <string>

namespace leadsman {

/// The root of the checkout, and the build folder: for test data and plug-ins.
std::string SourceDir();
std::string BinaryDir();

}  // namespace leadsman
