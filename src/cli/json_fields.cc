#include "cli/json_fields.h"

#include <nlohmann/json.hpp>

#include "cli/table.h"

namespace leadsman::cli {

const Json& Part(const Json& json, const char* key) {
  static const Json nothing;
  auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() ? nothing : *found;
}

std::string Text(const Json& json, const char* key) {
  const Json& part = Part(json, key);
  if (part.is_null()) return "";
  return Clean(part.is_string() ? part.get<std::string>() : part.dump());
}

double Number(const Json& json, const char* key) {
  const Json& part = Part(json, key);
  return part.is_number() ? part.get<double>() : 0;
}

const Json& Items(const Json& json, const char* key) {
  static const Json none = Json::array();
  const Json& part = Part(json, key);
  return part.is_array() ? part : none;
}

}  // namespace leadsman::cli
