#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cli/api_client.h"

namespace leadsman::cli {

// Of answers that come from a server: of whatever kind a member is, there is something to show.

/// A member, or null where there is none.
const Json& Part(const Json& json, const char* key);
/// A member's text, or what it is written as, fit for a terminal; empty where there is none.
std::string Text(const Json& json, const char* key);
/// 0 where there is none.
double Number(const Json& json, const char* key);
/// Always a list.
const Json& Items(const Json& json, const char* key);

}  // namespace leadsman::cli
