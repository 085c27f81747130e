#include "cli/version_answer.h"

#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/json_fields.h"

namespace leadsman::cli {

std::string Short(const Json& number) {
  if (!number.is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", number.get<double>());
  return text;
}

namespace {

std::string PathByVersion(const std::string& model, const char* what, int64_t version) {
  std::string path = StrCat("/api/v1/models/", UrlEncode(model), "/", what);
  if (version >= 0) path += StrCat("?version=", version);
  return path;
}

/// Null when there is nothing left to show.
std::shared_ptr<const Json> ToShow(ClientContext& c, std::shared_ptr<const Json> answer,
                                   int& code) {
  if (!answer) {
    code = c.Fail();
  } else if (c.json) {
    c.PrintJson(*answer);
    code = kOk;
    answer = nullptr;
  }
  return answer;
}

}  // namespace

std::shared_ptr<const Json> AnswerByVersion(ClientContext& c, const std::string& model,
                                            const char* what, int64_t version, int& code) {
  return ToShow(c, c.api.Get(PathByVersion(model, what, version)), code);
}

int PostByVersion(ClientContext& c, const std::string& model, const char* what, int64_t version,
                  const char* of, const std::string& begins_anew) {
  int code = kOk;
  const auto answer = ToShow(c, c.api.Call("POST", PathByVersion(model, what, version), ""), code);
  if (!answer) return code;
  for (const Json& one : Part(*answer, "versions")) {
    c.env.out << of << ' ' << Clean(model) << ':' << one.dump() << ' ' << begins_anew << '\n';
  }
  return kOk;
}

}  // namespace leadsman::cli
