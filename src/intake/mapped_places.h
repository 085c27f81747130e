#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leadsman::intake {

/// Of mapped fields (field, where it stands) those places that none of the lines has, each with a
/// name of theirs that was perhaps meant: "timing.totl (did you mean timing.total?)". Of JSON lines,
/// or of logfmt. A few lines alone: a field that is rare may well come later.
std::vector<std::string> PlacesNowhere(
    std::span<const std::string_view> lines,
    const std::vector<std::pair<std::string, std::string>>& fields, bool json);

}  // namespace leadsman::intake
