#include "support/test_paths.h"

namespace leadsman {

std::string SourceDir() { return LEADSMAN_SOURCE_DIR; }
std::string BinaryDir() { return LEADSMAN_BINARY_DIR; }

}  // namespace leadsman
