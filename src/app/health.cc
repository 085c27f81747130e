#include "app/health.h"

#include "base/strings.h"

namespace leadsman {

bool HandleHealth(net::HttpExchange& exchange, const std::function<Readiness()>& readiness) {
  std::string_view path = exchange.request().path;
  // What is asked for is nearly always something else: one comparison then.
  if (path.size() < 6 || path.size() > 8 || !path.ends_with('z')) return false;
  const bool live = path == "/livez" || path == "/healthz";
  if (!live && path != "/readyz") return false;
  net::HttpResponse& response = exchange.response();
  if (exchange.request().asked_method() != "GET") {
    response.status = 405;
    response.headers += "allow: GET, HEAD\r\n";
    response.body += R"({"error":"use GET"})";
    return true;
  }
  if (live) {
    response.content_type = "text/plain; charset=utf-8";
    response.body += "ok\n";
    return true;
  }
  Readiness now = readiness();
  response.status = now.ready() ? 200 : 503;
  std::string& body = response.body;
  body += now.ready() ? R"({"ready":true,"reasons":[)" : R"({"ready":false,"reasons":[)";
  const char* comma = "";
  for (const std::string& reason : now.reasons) {
    body += comma;
    AppendJsonString(body, reason);
    comma = ",";
  }
  body += R"(],"models":[)";
  comma = "";
  for (const UnreadyModel& model : now.models) {
    body += comma;
    body += R"({"model":)";
    AppendJsonString(body, model.model);
    body += R"(,"state":)";
    AppendJsonString(body, model.state);
    body += R"(,"detail":)";
    AppendJsonString(body, model.detail);
    body += '}';
    comma = ",";
  }
  body += "]}";
  return true;
}

}  // namespace leadsman
