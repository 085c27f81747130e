#include "protocol/http_answers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "protocol/prediction_codec.h"

namespace leadsman {

void AnswerError(net::HttpExchange& exchange, int http_status, std::string_view message) {
  net::HttpResponse& response = exchange.response();
  response.body.clear();
  response.status = http_status;
  AppendErrorBody(response.body, message);
}

bool RequireMethod(net::HttpExchange& exchange, std::string_view wanted) {
  if (exchange.request().asked_method() == wanted) return true;
  AnswerError(exchange, 405,
              StrCat("method ", exchange.request().method.substr(0, 32),
                     " is not allowed here; use ", wanted));
  exchange.response().headers += StrCat("allow: ", wanted, wanted == "GET" ? ", HEAD" : "", "\r\n");
  return false;
}

bool DecodeName(std::string_view encoded, std::string& storage, std::string_view& name) {
  name = encoded;
  if (encoded.find('%') == std::string_view::npos) return true;
  std::optional<std::string> decoded = UrlDecode(encoded);
  if (!decoded) return false;
  storage = std::move(*decoded);
  name = storage;
  return true;
}

std::string_view TakeSegment(std::string_view& rest) {
  size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view segment = rest.substr(0, slash);
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  return segment;
}

}  // namespace leadsman
