#include "app/cloudevents_port.h"

#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kMaxBody = size_t{16} << 20;

std::string ErrorBody(int, std::string_view message) {
  std::string body = "{\"error\":";
  AppendJsonString(body, message);
  return body + "}";
}

void Answer(net::HttpExchange& exchange, int status, std::string_view message) {
  exchange.response().status = status;
  exchange.response().body = ErrorBody(status, message);
}

void Handle(net::HttpExchange& exchange, intake::CloudEventIntake& intake) {
  const net::HttpRequest& request = exchange.request();
  if (request.path == "/livez" && request.method == "GET") {
    exchange.response().content_type = "text/plain; charset=utf-8";
    exchange.response().body = "ok\n";
    return;
  }
  if (request.method != "POST") {
    exchange.response().headers += "allow: POST\r\n";
    return Answer(exchange, 405, "CloudEvents come by POST");
  }
  Status taken =
      intake.Offer([&](std::string_view name) { return request.Header(name); }, request.body);
  if (taken.ok()) return;  // 200 without a body
  const bool full = taken.code() == StatusCode::kUnavailable;
  if (full) exchange.response().headers += "retry-after: 1\r\n";
  Answer(exchange, full ? 503 : 400, taken.message());
}

}  // namespace

Result<std::unique_ptr<net::HttpServer>> ListenForCloudEvents(const std::string& address,
                                                              uint16_t port,
                                                              intake::CloudEventIntake& intake,
                                                              net::ListenerStore* listeners) {
  net::HttpServerOptions options;
  options.name = "cloudevents";
  options.address = address;
  options.port = port;
  options.listeners = listeners;
  options.max_body_bytes = kMaxBody;
  options.error_body = ErrorBody;
  auto server = net::HttpServer::Start(
      std::move(options), [&intake](net::HttpExchange& exchange) { Handle(exchange, intake); });
  if (!server.ok())
    return Annotate(server.status(),
                    "port for CloudEvents (monitor.cloudevents, --cloudevents-port)");
  return server;
}

}  // namespace leadsman
