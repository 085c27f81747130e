#include "telemetry/sender_http.h"

#include "base/base64.h"
#include "base/fs.h"
#include "base/strings.h"
#include "net/url.h"

namespace leadsman {
namespace {

constexpr size_t kMaxSecret = 64 << 10;
constexpr size_t kMaxAnswer = 64 << 10;
constexpr size_t kAnswerShown = 200;

Status StatusOf(const net::ClientResponse& response, const std::string& where) {
  const int code = response.status;
  if (code >= 200 && code < 300) return OkStatus();
  const std::string said = ToUtf8(CutUtf8(Trim(response.body), kAnswerShown));
  const std::string what =
      StrCat(where, " answers ", code, said.empty() ? std::string() : StrCat(": ", said));
  if (code == 401)
    return Status(StatusCode::kUnauthenticated,
                  StrCat(what, "; give token_file or username and password_file"));
  if (code == 403) return PermissionDeniedError(what);
  if (code == 400 || code == 413 || code == 415 || code == 422) return InvalidArgumentError(what);
  return UnavailableError(what);
}

}  // namespace

Result<std::string> ReadSecret(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSecret));
  std::string secret(Trim(text));
  if (secret.empty()) return InvalidArgumentError(StrCat(path, " is empty"));
  return secret;
}

Result<std::unique_ptr<SenderHttp>> SenderHttp::Create(SenderTarget target) {
  auto url = net::ParseUrl(target.url);
  if (!url.ok()) return Annotate(url.status(), "url");
  while (target.url.ends_with('/')) target.url.pop_back();
  std::unique_ptr<SenderHttp> made(new SenderHttp(std::move(target)));
  const net::TlsClientOptions& tls = made->target_.tls;
  std::shared_ptr<const net::TlsClient> client;
  if (!tls.ca_file.empty() || !tls.cert_file.empty() || !tls.key_file.empty()) {
    ASSIGN_OR_RETURN(client, net::TlsClient::Create(tls));
  }
  made->http_ = net::MakeHttpClient(std::move(client));
  RETURN_IF_ERROR(made->Authorization().status());
  return made;
}

Result<std::string> SenderHttp::Authorization() const {
  if (!target_.token_file.empty()) {
    auto token = ReadSecret(target_.token_file);
    if (!token.ok()) return Annotate(token.status(), "token_file");
    return StrCat("Bearer ", *token);
  }
  if (target_.username.empty()) return std::string();
  auto password = ReadSecret(target_.password_file);
  if (!password.ok()) return Annotate(password.status(), "password_file");
  std::string basic = "Basic ";
  AppendBase64(basic, StrCat(target_.username, ":", *password));
  return basic;
}

Status SenderHttp::Post(const std::string& path, std::string body,
                        std::vector<std::pair<std::string, std::string>> headers) {
  net::ClientRequest request;
  request.method = "POST";
  request.url = target_.url + path;
  request.body = std::move(body);
  request.timeout = target_.timeout;
  request.max_response_bytes = kMaxAnswer;
  request.headers = std::move(headers);
  request.headers.emplace_back("content-type", "application/json");
  ASSIGN_OR_RETURN(std::string authorization, Authorization());
  if (!authorization.empty())
    request.headers.emplace_back("authorization", std::move(authorization));
  auto response = http_->Send(request);
  RETURN_IF_ERROR(response.status());
  auto url = net::ParseUrl(target_.url);
  return StatusOf(*response, url.ok() ? url->authority : "the receiver");
}

}  // namespace leadsman
