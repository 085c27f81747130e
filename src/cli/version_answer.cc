#include "cli/version_answer.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::cli {

const Json& Part(const Json& json, const char* key) {
  static const Json nothing;
  auto found = json.is_object() ? json.find(key) : json.end();
  return found == json.end() ? nothing : *found;
}

std::string Short(const Json& number) {
  if (!number.is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", number.get<double>());
  return text;
}

std::shared_ptr<const Json> AnswerByVersion(ClientContext& c, const std::string& model,
                                            const char* what, int64_t version, int& code) {
  std::string path = StrCat("/api/v1/models/", UrlEncode(model), "/", what);
  if (version >= 0) path += StrCat("?version=", version);
  std::shared_ptr<const Json> answer = c.api.Get(path);
  if (!answer) {
    code = c.Fail();
  } else if (c.json) {
    c.PrintJson(*answer);
    code = kOk;
    answer = nullptr;
  }
  return answer;
}

}  // namespace leadsman::cli
