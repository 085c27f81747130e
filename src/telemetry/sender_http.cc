#include "telemetry/sender_http.h"

#include <algorithm>
#include <string_view>

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
                  StrCat(what, "; it wants a token, a password or a header"));
  if (code == 403) return PermissionDeniedError(what);
  return UnavailableError(what);
}

Result<std::string> Authorization(const SenderTarget& target) {
  if (!target.token_file.empty()) {
    auto token = ReadSecret(target.token_file);
    if (!token.ok()) return Annotate(token.status(), "token_file");
    return StrCat("Bearer ", *token);
  }
  if (target.username.empty()) return std::string();
  auto password = ReadSecret(target.password_file);
  if (!password.ok()) return Annotate(password.status(), "password_file");
  std::string basic = "Basic ";
  AppendBase64(basic, StrCat(target.username, ":", *password));
  return basic;
}

std::string UrlOf(std::string url, const std::string& path) {
  if (path.empty()) return url;
  while (url.ends_with('/')) url.pop_back();
  return url + path;
}

}  // namespace

Result<std::string> ReadSecret(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSecret));
  std::string secret(Trim(text));
  if (secret.empty()) return InvalidArgumentError(StrCat(path, " is empty"));
  return secret;
}

Result<HeaderList> ReadHeadersFile(const std::string& path) {
  HeaderList headers;
  if (path.empty()) return headers;
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSecret));
  size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = Trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(':');
    auto bad = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
    if (colon == std::string_view::npos || colon == 0 ||
        std::any_of(line.begin(), line.end(), bad)) {
      return InvalidArgumentError(
          StrCat(path, ", line ", number, ": must be a header as \"authorization: Bearer …\""));
    }
    headers.emplace_back(Trim(line.substr(0, colon)), Trim(line.substr(colon + 1)));
  }
  return headers;
}

std::string ShownUrl(const std::string& url) {
  auto parsed = net::ParseUrl(url);
  if (!parsed.ok()) return "?";
  return StrCat(parsed->Origin(), parsed->target.substr(0, parsed->target.find('?')));
}

std::vector<std::string> CheckTargetFiles(const SenderTarget& target) {
  std::vector<std::string> wrong;
  auto note = [&](const char* field, const Status& status) {
    if (!status.ok()) wrong.push_back(StrCat(field, status.message()));
  };
  note("tls.", net::TlsClient::Create(target.tls).status());  // whose messages begin with the field
  if (!target.token_file.empty()) note("token_file: ", ReadSecret(target.token_file).status());
  if (!target.password_file.empty())
    note("password_file: ", ReadSecret(target.password_file).status());
  note("headers_file: ", ReadHeadersFile(target.headers_file).status());
  return wrong;
}

Result<std::unique_ptr<SenderHttp>> SenderHttp::Create(SenderTarget target) {
  auto url = net::ParseUrl(target.url);
  if (!url.ok()) return Annotate(url.status(), "url");
  std::unique_ptr<SenderHttp> made(new SenderHttp(std::move(target)));
  const net::TlsClientOptions& tls = made->target_.tls;
  std::shared_ptr<const net::TlsClient> client;
  if (!tls.ca_file.empty() || !tls.cert_file.empty() || !tls.key_file.empty()) {
    ASSIGN_OR_RETURN(client, net::TlsClient::Create(tls));
  }
  made->http_ = net::MakeHttpClient(std::move(client));
  RETURN_IF_ERROR(made->OwnHeaders().status());
  return made;
}

Result<HeaderList> SenderHttp::OwnHeaders() const {
  auto headers = ReadHeadersFile(target_.headers_file);
  if (!headers.ok()) return Annotate(headers.status(), "headers_file");
  ASSIGN_OR_RETURN(std::string authorization, Authorization(target_));
  if (!authorization.empty()) headers->emplace_back("authorization", std::move(authorization));
  return headers;
}

SenderHttp::Answer SenderHttp::Post(const Courier::Errand& errand, Message message) {
  auto headers = OwnHeaders();
  if (!headers.ok()) return {headers.status()};
  net::ClientRequest request;
  request.method = "POST";
  request.url = UrlOf(target_.url, message.path);
  request.body = std::move(message.body);
  request.timeout = errand.most;
  request.cancelled = &errand.cancelled;
  request.max_response_bytes = kMaxAnswer;
  request.headers = std::move(*headers);
  for (auto& header : message.headers) request.headers.push_back(std::move(header));
  request.headers.emplace_back("content-type", std::move(message.content_type));
  auto response = http_->Send(request);
  if (!response.ok()) return {response.status()};
  auto url = net::ParseUrl(target_.url);
  Answer answer{StatusOf(*response, url.ok() ? url->authority : "the peer"), response->status};
  if (answer.status.ok()) answer.body = std::move(response->body);
  return answer;
}

}  // namespace leadsman
