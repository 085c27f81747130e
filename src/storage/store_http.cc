#include "storage/store_http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "base/strings.h"
#include "storage/digest.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr int kMaxRedirects = 5;
constexpr size_t kMaxErrorBody = 64 << 10;
constexpr size_t kMaxHeaders = 256;
constexpr size_t kMaxIdleHandles = 16;
constexpr Duration kLongestRetryAfter = 60s;

bool MayPass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_SSL_CONNECT_ERROR:
      return true;
    default:
      return false;
  }
}

/// Where a redirect leads, and whether that is the same scheme, host and port.
struct Target {
  std::string url;
  bool same_origin = false;
  bool downgrade = false;
};
std::string Part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
  std::string value = text;
  curl_free(text);
  return value;
}
std::optional<Target> Resolve(const std::string& base, const std::string& location) {
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
  if (!url || curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK)
    return std::nullopt;
  std::string scheme = Part(url.get(), CURLUPART_SCHEME);
  std::string host = Part(url.get(), CURLUPART_HOST);
  std::string port = Part(url.get(), CURLUPART_PORT);
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) return std::nullopt;
  std::string to = Part(url.get(), CURLUPART_SCHEME);
  if (to != "http" && to != "https") return std::nullopt;
  Target target{.url = Part(url.get(), CURLUPART_URL)};
  target.same_origin = to == scheme && EqualsIgnoreCase(Part(url.get(), CURLUPART_HOST), host) &&
                       Part(url.get(), CURLUPART_PORT) == port;
  target.downgrade = scheme == "https" && to == "http";
  return target;
}

struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDeleter>;
void Add(Slist& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  CHECK(longer != nullptr);
  static_cast<void>(list.release());
  list.reset(longer);
}

}  // namespace

/// Easy handles that wait for their next use, each with its open connections.
struct StoreHttp::Handles {
  Mutex mutex;
  std::vector<CURL*> idle GUARDED_BY(mutex);

  ~Handles() {
    for (CURL* handle : idle) curl_easy_cleanup(handle);
  }
  CURL* Take() {
    {
      MutexLock lock(mutex);
      if (!idle.empty()) {
        CURL* handle = idle.back();
        idle.pop_back();
        return handle;
      }
    }
    CURL* handle = curl_easy_init();
    CHECK(handle != nullptr);
    return handle;
  }
  /// `sound`: its last transfer went to its end. Of another a reset does not take everything back: after a name that
  /// was not resolved libcurl 7.88 refuses CURLOPT_BUFFERSIZE.
  void GiveBack(CURL* handle, bool sound) {
    curl_easy_reset(handle);  // forgets what is the request's own before that goes
    if (sound) {
      MutexLock lock(mutex);
      if (idle.size() < kMaxIdleHandles) {
        idle.push_back(handle);
        return;
      }
    }
    curl_easy_cleanup(handle);
  }
};

/// One request on its way: what libcurl's callbacks fill in.
struct StoreHttp::Attempt {
  const StoreRequest& request;
  const HeadSink* head;
  const BodySink* body;
  const StoreCall& call;
  const Options& options;
  StoreAnswer answer;
  Status trouble;  ///< of a sink, or of a limit
  bool head_told = false;
  bool stalled = false;
  curl_off_t moved = 0;
  SteadyTime moved_at = SystemClock().SteadyNow();

  static size_t OnHeader(char* data, size_t, size_t size, void* self_) {
    auto& self = *static_cast<Attempt*>(self_);
    std::string_view line(data, size);
    if (line.starts_with("HTTP/")) {
      self.answer.headers.clear();
      return size;
    }
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || self.answer.headers.size() >= kMaxHeaders) return size;
    std::string name(line.substr(0, colon));
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    self.answer.headers[std::move(name)] = std::string(Trim(line.substr(colon + 1)));
    return size;
  }

  Status Take(std::string_view bytes) {
    if (body != nullptr && answer.ok()) {
      if (!head_told) {
        head_told = true;
        if (head != nullptr) RETURN_IF_ERROR((*head)(answer));
      }
      return (*body)(bytes);
    }
    size_t limit = answer.ok() ? request.max_body : kMaxErrorBody;
    if (answer.body.size() + bytes.size() > limit) {
      if (!answer.ok()) {  // the beginning of a long error text is enough
        answer.body += bytes.substr(0, limit - answer.body.size());
        return OkStatus();
      }
      return ResourceExhaustedError(
          StrCat(RedactUrl(request.url), " answered more than ", limit, " bytes"));
    }
    answer.body += bytes;
    return OkStatus();
  }
  static size_t OnBody(char* data, size_t, size_t size, void* self_) {
    auto& self = *static_cast<Attempt*>(self_);
    self.trouble = self.Take(std::string_view(data, size));
    return self.trouble.ok() ? size : CURL_WRITEFUNC_ERROR;
  }
  static int OnProgress(void* self_, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) {
    auto& self = *static_cast<Attempt*>(self_);
    if (self.call.cancelled()) return 1;
    SteadyTime now = SystemClock().SteadyNow();
    if (down + up != self.moved) {
      self.moved = down + up;
      self.moved_at = now;
    } else if (now - self.moved_at > self.options.stall_timeout) {
      self.stalled = true;
      return 1;
    }
    return 0;
  }
};

StoreHttp::StoreHttp(Options options)
    : options_(std::move(options)), handles_(std::make_unique<Handles>()) {
  static std::once_flag once;
  std::call_once(once, [] { CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
}
StoreHttp::~StoreHttp() = default;

Result<StoreAnswer> StoreHttp::Once(const StoreRequest& request, const HeadSink* head,
                                    const BodySink* body, const StoreCall& call) {
  std::string shown = RedactUrl(request.url);
  if (call.cancelled()) return CancelledError(StrCat("the request to ", shown, " was called off"));
  Duration left = call.deadline - SystemClock().SteadyNow();
  if (left <= Duration::zero())
    return DeadlineExceededError(StrCat("no time is left to ask ", shown));
  Attempt attempt{
      .request = request, .head = head, .body = body, .call = call, .options = options_};

  CURL* handle = handles_->Take();
  struct Return {
    Handles& handles;
    CURL* handle;
    bool sound = false;
    ~Return() { handles.GiveBack(handle, sound); }
  } give_back{*handles_, handle};
  Slist headers;
  for (const auto& [name, value] : request.headers) {
    Add(headers, value.empty() ? StrCat(name, ";") : StrCat(name, ": ", value));
  }
  if (!request.authorization.empty())
    Add(headers, StrCat("Authorization: ", request.authorization));
  if (request.method == "POST") Add(headers, "Expect:");
  CURLcode refused = CURLE_OK;
  auto set = [&](CURLoption option, auto value) {
    const CURLcode code = curl_easy_setopt(handle, option, value);
    if (code != CURLE_OK) refused = code;
  };
  char error[CURL_ERROR_SIZE] = "";
  set(CURLOPT_ERRORBUFFER, error);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_USERAGENT, "leadsman");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
  set(CURLOPT_BUFFERSIZE, 262'144L);
  if (left < 240h) {
    set(CURLOPT_TIMEOUT_MS,
        std::max(1L, static_cast<long>(std::chrono::duration_cast<milliseconds>(left).count())));
  }
  if (!options_.ca_file.empty()) set(CURLOPT_CAINFO, options_.ca_file.c_str());
  if (request.method == "POST") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());
  } else if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  std::string sigv4;
  if (request.sign) {
    sigv4 = StrCat("aws:amz:", request.sign->region, ":", request.sign->service);
    set(CURLOPT_AWS_SIGV4, sigv4.c_str());
    set(CURLOPT_USERNAME, request.sign->access_key.c_str());
    set(CURLOPT_PASSWORD, request.sign->secret_key.c_str());
    if (!request.sign->session_token.empty())
      Add(headers, StrCat("x-amz-security-token: ", request.sign->session_token));
  }
  if (request.direct) set(CURLOPT_NOPROXY, "*");
  if (!request.netrc_file.empty()) {
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
    set(CURLOPT_NETRC_FILE, request.netrc_file.c_str());
  }
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_HEADERFUNCTION, &Attempt::OnHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&attempt));
  // The status is known before the first byte of the body.
  struct Body {
    Attempt* attempt;
    CURL* handle;
    static size_t Write(char* data, size_t one, size_t size, void* self_) {
      auto& self = *static_cast<Body*>(self_);
      long status = 0;
      curl_easy_getinfo(self.handle, CURLINFO_RESPONSE_CODE, &status);
      self.attempt->answer.status = static_cast<int>(status);
      return Attempt::OnBody(data, one, size, self.attempt);
    }
  } writer{&attempt, handle};
  set(CURLOPT_WRITEFUNCTION, &Body::Write);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&writer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Attempt::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&attempt));

  if (refused != CURLE_OK) {
    return InternalError(
        StrCat("cannot ask ", shown, ": libcurl refuses an option: ", curl_easy_strerror(refused)));
  }
  CURLcode code = curl_easy_perform(handle);
  give_back.sound = code == CURLE_OK;
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  attempt.answer.status = static_cast<int>(status);
  if (!attempt.trouble.ok()) return attempt.trouble;
  if (!attempt.answer.ok()) HideSecrets(request, attempt.answer.body);
  if (code == CURLE_OK) {
    if (body != nullptr && attempt.answer.ok() && !attempt.head_told && head != nullptr) {
      RETURN_IF_ERROR((*head)(attempt.answer));  // an empty body
    }
    return std::move(attempt.answer);
  }
  if (call.cancelled()) return CancelledError(StrCat("the request to ", shown, " was called off"));
  if (attempt.stalled) {
    return UnavailableError(StrCat(shown, " has sent nothing for ",
                                   options_.stall_timeout.count() / 1000.0,
                                   " s (storage.stall_timeout)"));
  }
  if (code == CURLE_OPERATION_TIMEDOUT && SystemClock().SteadyNow() >= call.deadline - 50ms)
    return DeadlineExceededError(StrCat(shown, " did not finish within the time given to it"));
  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
    return FailedPreconditionError(StrCat("the TLS certificate of ", shown,
                                          " is not trusted: ", error[0] ? error : "",
                                          "; name its authority in storage.ca_file"));
  }
  std::string what = error[0] != '\0' ? error : curl_easy_strerror(code);
  std::string message = StrCat("cannot reach ", shown, ": ", what);
  if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
    message = StrCat("the connection to ", shown, " ended too early: ", what);
  return MayPass(code) ? UnavailableError(message) : FailedPreconditionError(message);
}

Result<StoreAnswer> StoreHttp::Stream(const StoreRequest& request, const HeadSink& head,
                                      const BodySink& body, const StoreCall& call) {
  StoreRequest at = request;
  for (int redirects = 0;; ++redirects) {
    ASSIGN_OR_RETURN(StoreAnswer answer,
                     Once(at, head ? &head : nullptr, body ? &body : nullptr, call));
    std::string location = answer.Header("location");
    bool redirect = answer.status == 301 || answer.status == 302 || answer.status == 303 ||
                    answer.status == 307 || answer.status == 308;
    // A signed request is signed for one host and path: what S3 means by 301 and 307 is an error to
    // be told, not an address to go to.
    if (!redirect || location.empty() || at.sign || (at.method != "GET" && at.method != "HEAD")) {
      return answer;
    }
    if (redirects == kMaxRedirects) {
      return FailedPreconditionError(
          StrCat(RedactUrl(request.url), " redirects more than ", kMaxRedirects, " times"));
    }
    std::optional<Target> target = Resolve(at.url, location);
    if (!target) {
      return FailedPreconditionError(
          StrCat(RedactUrl(at.url), " redirects to what is no http(s) address"));
    }
    if (target->downgrade) {
      return FailedPreconditionError(StrCat(RedactUrl(at.url), " redirects from https to ",
                                            RedactUrl(target->url), ": refused"));
    }
    if (!target->same_origin) at.authorization.clear();
    at.url = target->url;
  }
}

Result<StoreAnswer> StoreHttp::Call(const StoreRequest& request, const StoreCall& call) {
  for (int attempt = 1;; ++attempt) {
    Result<StoreAnswer> answer = Stream(request, nullptr, nullptr, call);
    bool again = answer.ok() ? MayPassLater(answer->status)
                             : answer.status().code() == StatusCode::kUnavailable;
    if (!again || attempt > options_.retries) return answer;
    Duration wait = answer.ok() ? RetryAfter(*answer, SystemClock().Now()) : Duration::zero();
    Status waited = WaitBeforeRetry(attempt, wait, call);
    if (waited.code() == StatusCode::kCancelled) return waited;
    if (!waited.ok()) return answer;  // which says more than that the time is over
  }
}

Status StoreHttp::WaitBeforeRetry(int attempt, Duration at_least, const StoreCall& call) {
  thread_local Rng rng(RandomSeed());
  Duration delay = options_.retry_delay * (int64_t{1} << std::min(attempt - 1, 6));
  delay = std::min<Duration>(delay, 30s);
  delay = Duration(
      static_cast<int64_t>(static_cast<double>(delay.count()) * (0.5 + rng.Uniform() / 2)));
  delay = std::max(delay, std::min(at_least, kLongestRetryAfter));
  Clock& clock = SystemClock();
  SteadyTime until = clock.SteadyNow() + delay;
  if (until >= call.deadline) return DeadlineExceededError("there is no time for another try");
  Mutex mutex;
  CondVar never;
  MutexLock lock(mutex);
  while (clock.SteadyNow() < until) {
    if (call.cancelled()) return CancelledError("called off");
    never.WaitFor(mutex, std::min<Duration>(until - clock.SteadyNow(), 50ms));
  }
  return OkStatus();
}

bool MayPassLater(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
         status == 503 || status == 504;
}

Duration RetryAfter(const StoreAnswer& answer, WallTime now) {
  std::string text = answer.Header("retry-after");
  if (text.empty()) return Duration::zero();
  if (std::optional<int64_t> seconds = ParseInt64(text)) {
    return std::chrono::seconds(std::clamp<int64_t>(*seconds, 0, 86'400));
  }
  time_t date = curl_getdate(text.c_str(), nullptr);
  if (date < 0) return Duration::zero();
  return std::max<Duration>(Duration::zero(), WallTime(std::chrono::seconds(date)) - now);
}

Status StatusOfAnswer(const StoreAnswer& answer, std::string_view url, std::string_view detail) {
  std::string text;
  for (char c : detail.substr(0, 300)) text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  std::string message = StrCat(RedactUrl(url), " answered ", answer.status);
  if (!Trim(text).empty()) message += StrCat(" (", Trim(text), ")");
  switch (answer.status) {
    case 401:
      return Status(StatusCode::kUnauthenticated, std::move(message));
    case 403:
      return PermissionDeniedError(std::move(message));
    case 404:
    case 410:
      return NotFoundError(std::move(message));
    case 412:
      return AbortedError(std::move(message));
    case 501:
      return UnimplementedError(std::move(message));
    default:
      return MayPassLater(answer.status) ? UnavailableError(std::move(message))
                                         : FailedPreconditionError(std::move(message));
  }
}

void HideSecrets(const StoreRequest& request, std::string& text) {
  constexpr std::string_view kHidden = "(hidden)";
  constexpr size_t kShort = 4;
  std::vector<std::string> secrets = request.secrets;
  // Without the scheme, which may come back spelt otherwise.
  secrets.push_back(request.authorization.substr(request.authorization.find(' ') + 1));
  if (request.sign) {
    secrets.push_back(request.sign->secret_key);
    secrets.push_back(request.sign->session_token);
  }
  for (const std::string& secret : secrets) {
    for (const std::string& form : {secret, UrlEncode(secret), ToBase64(secret)}) {
      for (size_t at = text.find(form); !form.empty() && at != std::string::npos;
           at = text.find(form, at + kHidden.size())) {
        // Of what nearly every text has, the gaps would tell.
        bool all = form.size() < kShort;
        text.replace(all ? 0 : at, all ? text.size() : form.size(), kHidden);
        if (all) return;
      }
    }
  }
}

std::string EncodePath(std::string_view path) {
  std::string out;
  for (char c : path) {
    bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    if (keep) {
      out += c;
    } else {
      auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += "0123456789ABCDEF"[byte >> 4];
      out += "0123456789ABCDEF"[byte & 15];
    }
  }
  return out;
}

}  // namespace leadsman
