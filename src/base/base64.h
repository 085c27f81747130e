#pragma once

#include <string>
#include <string_view>

namespace leadsman {

/// RFC 4648, standard alphabet, padding optional. False when malformed. `out` is replaced.
bool DecodeBase64(std::string_view text, std::string& out);
/// With padding.
void AppendBase64(std::string& out, std::string_view bytes);

}  // namespace leadsman
