#include "telemetry/grpc_client.h"

#include <atomic>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "base/strings.h"
#include "net/http_client.h"
#include "net/url.h"
#include "telemetry/curl_transfer.h"
#include "telemetry/sender_http.h"

namespace leadsman {
namespace {

constexpr size_t kPrefix = 5;  // of a message: whether it is compressed, and its length
constexpr size_t kMaxAnswer = 64 << 10;
constexpr size_t kMaxHeaders = 64 << 10;
constexpr size_t kWordsShown = 200;

std::string Framed(std::string_view message) {
  const auto size = static_cast<uint32_t>(message.size());
  std::string framed;
  framed.reserve(kPrefix + message.size());
  framed += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) framed += static_cast<char>(size >> shift);
  framed += message;
  return framed;
}

/// The only message of an answer's body.
Result<std::string> Unframed(std::string_view body) {
  if (body.size() < kPrefix) return InternalError("it answers without a message");
  if (body[0] != '\0') return InternalError("it compresses its answer, which was not asked for");
  size_t size = 0;
  for (size_t i = 1; i < kPrefix; ++i) size = size << 8 | static_cast<uint8_t>(body[i]);
  body.remove_prefix(kPrefix);
  if (body.size() != size) return InternalError("its answer has another length than it says");
  return std::string(body);
}

/// gRPC's table for an answer that has no code of its own: it comes from a proxy, or from a server of something else.
StatusCode CodeOfHttp(long http) {
  switch (http) {
    case 400:
      return StatusCode::kInternal;
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kUnknown;
  }
}

/// What libcurl's callbacks find out of one call.
struct Exchange {
  const std::atomic<bool>& cancelled;
  std::string body = {};
  size_t header_bytes = 0;
  std::optional<int64_t> code = {};
  std::string words = {};
  std::string details = {};

  static size_t OnBody(char* data, size_t size, size_t count, void* self_) {
    auto& self = *static_cast<Exchange*>(self_);
    if (self.body.size() + size * count > kMaxAnswer) return 0;  // ends the call
    self.body.append(data, size * count);
    return size * count;
  }
  /// Headers and trailers alike: an error may come without a body, and then has only headers.
  static size_t OnHeader(char* data, size_t size, size_t count, void* self_) {
    auto& self = *static_cast<Exchange*>(self_);
    const std::string_view line(data, size * count);
    self.header_bytes += line.size();
    if (self.header_bytes > kMaxHeaders) return 0;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    if (EqualsIgnoreCase(name, "grpc-status")) {
      self.code = ParseInt64(value);
    } else if (EqualsIgnoreCase(name, "grpc-message")) {
      self.words = UrlDecode(value).value_or(std::string(value));
    } else if (EqualsIgnoreCase(name, "grpc-status-details-bin")) {
      if (!DecodeBase64(value, self.details)) self.details.clear();
    }
    return line.size();
  }
  static int OnProgress(void* self_, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<const Exchange*>(self_)->cancelled ? 1 : 0;
  }
};

Status StatusWithout(CURLcode code, const char* details, const Exchange& exchange,
                     const std::string& peer) {
  if (exchange.cancelled) return CancelledError(StrCat("the call to ", peer, " was cancelled"));
  const std::string what =
      StrCat(peer, ": ", *details != '\0' ? details : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceededError(what);
    case CURLE_PEER_FAILED_VERIFICATION:
      return FailedPreconditionError(
          StrCat(what, "; give the certificate of the authority that signed it as ca_file"));
    case CURLE_WRITE_ERROR:
      return InternalError(StrCat(peer, " has a longer answer than gRPC's to an export"));
    case CURLE_HTTP2_STREAM:
    case CURLE_SEND_ERROR:
      return UnavailableError(StrCat(
          peer,
          " ended the call before it had read the message: too large for it, or not permitted (",
          what, ")"));
    default:
      return UnavailableError(what);
  }
}

GrpcClient::Answer AnswerOf(Exchange exchange, long http, const std::string& peer) {
  GrpcClient::Answer answer;
  answer.answered = true;
  if (!exchange.code) {
    answer.status = http == 200
                        ? Status(StatusCode::kUnknown,
                                 StrCat(peer,
                                        " answers without grpc-status: it, or a proxy before it, "
                                        "does not speak gRPC"))
                        : Status(CodeOfHttp(http), StrCat(peer, " answers HTTP ", http));
  } else if (*exchange.code == 0) {
    auto unframed = Unframed(exchange.body);
    answer.status = unframed.ok() ? OkStatus() : Annotate(unframed.status(), peer);
    if (unframed.ok()) answer.message = std::move(*unframed);
  } else {
    const bool known = *exchange.code > 0 && *exchange.code < kStatusCodeCount;
    const auto code = known ? static_cast<StatusCode>(*exchange.code) : StatusCode::kUnknown;
    const std::string words = ToUtf8(CutUtf8(exchange.words, kWordsShown));
    answer.status = Status(code, StrCat(peer, " answers ", StatusCodeName(code),
                                        words.empty() ? "" : StrCat(": ", words)));
    answer.details = std::move(exchange.details);
  }
  return answer;
}

/// Null when there is no memory for them.
CurlList HeadersOf(const Courier::Errand& errand, const HeaderList& own) {
  std::vector<std::string> lines = {
      "content-type: application/grpc",
      "te: trailers",
      StrCat("grpc-timeout: ", errand.most.count(), "m"),
      "accept:",  // libcurl's own are left out
      "expect:",
  };
  for (const auto& [name, value] : own) lines.push_back(StrCat(name, ": ", value));
  CurlList headers;
  for (const std::string& line : lines)
    if (!AppendTo(headers, line.c_str())) return nullptr;
  return headers;
}

}  // namespace

GrpcClient::GrpcClient(Options options, std::string origin, std::string peer)
    : options_(std::move(options)), origin_(std::move(origin)), peer_(std::move(peer)) {}

Result<std::unique_ptr<GrpcClient>> GrpcClient::Create(Options options) {
  InitCurl();
  auto url = net::ParseUrl(options.url);
  if (!url.ok()) return Annotate(url.status(), "url");
  if (!options.ca_file.empty()) {
    net::TlsClientOptions tls;
    tls.ca_file = options.ca_file;
    RETURN_IF_ERROR(net::TlsClient::Create(tls).status());
  }
  if (Status status = ReadHeadersFile(options.headers_file).status(); !status.ok())
    return Annotate(status, "headers_file");
  std::string origin = StrCat(url->https ? "https://" : "http://", url->authority);
  return std::unique_ptr<GrpcClient>(
      new GrpcClient(std::move(options), std::move(origin), url->authority));
}

GrpcClient::Answer GrpcClient::Call(const Courier::Errand& errand, std::string_view method,
                                    std::string_view message) {
  auto own = ReadHeadersFile(options_.headers_file);
  if (!own.ok()) return {Annotate(own.status(), "headers_file")};
  const auto headers = HeadersOf(errand, *own);
  const std::string url = StrCat(origin_, method);
  const std::string body = Framed(message);
  Exchange exchange{.cancelled = errand.cancelled};
  char details[CURL_ERROR_SIZE] = "";
  const CurlHandle handle(curl_easy_init());
  CURL* easy = handle.get();
  Status failed;
  if (headers == nullptr || easy == nullptr)
    return {ResourceExhaustedError("no memory for a call")};
  auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl_easy_setopt(easy, option, value);
    if (code != CURLE_OK && failed.ok())
      failed = InternalError(StrCat("libcurl: ", curl_easy_strerror(code)));
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  } else {
    // As OpenSSL, and with it the senders by HTTP, has it.
    if (const char* file = secure_getenv("SSL_CERT_FILE")) set(CURLOPT_CAINFO, file);
    if (const char* folder = secure_getenv("SSL_CERT_DIR")) set(CURLOPT_CAPATH, folder);
  }
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDS, body.data());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  set(CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
  set(CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Exchange::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&exchange));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(errand.most.count()));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // a resolver that hangs is not waited for
  set(CURLOPT_ERRORBUFFER, &details[0]);
  if (!failed.ok()) return {failed};

  const CURLcode code = PerformCurl(easy, errand.cancelled);
  if (code != CURLE_OK) {
    Answer answer{StatusWithout(code, details, exchange, peer_)};
    answer.answered =
        code == CURLE_WRITE_ERROR && !exchange.cancelled;  // it did, and took the message
    answer.cut_off = code == CURLE_HTTP2_STREAM || code == CURLE_SEND_ERROR;
    return answer;
  }
  long http = 0, version = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http);
  curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
  if (version != CURL_HTTP_VERSION_2_0)
    return {UnimplementedError(
                StrCat(peer_, " speaks HTTP/1.1, not gRPC: give its port of OTLP over gRPC")),
            true};
  return AnswerOf(std::move(exchange), http, peer_);
}

}  // namespace leadsman
