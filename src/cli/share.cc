#include "cli/share.h"

#include "base/strings.h"

namespace leadsman::cli {

std::optional<double> ParseShare(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  auto value = ParseDouble(text);
  if (value && percent) *value /= 100;
  return value && *value >= 0 && *value <= 1 ? value : std::nullopt;
}

}  // namespace leadsman::cli
