#include "telemetry/batch_sender.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"
#include "net/url.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kFirstPause{1};
constexpr seconds kLongestPause{30};
constexpr milliseconds kLastTry{1000};

/// Without what may be a secret: the query, and what stands before '@'.
std::string Shown(const std::string& url) {
  Result<net::Url> parsed = net::ParseUrl(url);
  if (!parsed.ok()) return "?";
  return StrCat(parsed->Origin(), parsed->target.substr(0, parsed->target.find('?')));
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> ReadHeadersFile(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> headers;
  if (path.empty()) return headers;
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, 64 << 10));
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

BatchSender::BatchSender(Clock& clock, Options options)
    : clock_(clock), options_(std::move(options)), thread_([this] { Loop(); }) {}

BatchSender::~BatchSender() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void BatchSender::Send(std::string body, uint64_t items) {
  {
    MutexLock lock(mutex_);
    bytes_ += body.size();
    bodies_.push_back({std::move(body), items});
    MakeRoom();
  }
  changed_.NotifyAll();
}

void BatchSender::MakeRoom() {
  while (bodies_.size() > options_.max_bodies ||
         (bytes_ > options_.max_bytes && bodies_.size() > 1)) {
    counters_.items_dropped += bodies_.front().items;
    bytes_ -= bodies_.front().bytes.size();
    bodies_.pop_front();
  }
}

BatchSender::Counters BatchSender::counters() const {
  MutexLock lock(mutex_);
  Counters counters = counters_;
  counters.waiting = bodies_.size() + (sending_ ? 1 : 0);
  return counters;
}

BatchSender::Outcome BatchSender::Post(net::HttpClient& client, const Body& body,
                                       milliseconds timeout) {
  auto complain = [&](std::string_view why) {
    if (!std::exchange(complained_, true))
      LOG_WARN("telemetry cannot be sent; it is tried again", {"to", Shown(options_.url)},
               {"reason", why});
  };
  auto headers = ReadHeadersFile(options_.headers_file);
  if (!headers.ok()) {
    complain(headers.status().message());
    return Outcome::kAgain;
  }
  net::ClientRequest request;
  request.method = "POST";
  request.url = options_.url;
  request.headers = std::move(headers).value();
  request.headers.emplace_back("content-type", options_.content_type);
  request.body = body.bytes;
  request.timeout = timeout;
  request.max_response_bytes = 64 << 10;
  Result<net::ClientResponse> answer = client.Send(request);
  if (!answer.ok()) {
    complain(answer.status().message());
    return Outcome::kAgain;
  }
  const int status = answer->status;
  if (status >= 200 && status < 300) {
    if (std::exchange(complained_, false))
      LOG_INFO("telemetry is sent again", {"to", Shown(options_.url)});
    return Outcome::kSent;
  }
  const bool for_good = status >= 400 && status < 500 && status != 408 && status != 429 &&
                        status != 401 &&
                        status != 403;  // a token may be replaced, and what waits is worth it
  complain(StrCat("answer ", status, " ", ToUtf8(CutUtf8(answer->body, 200))));
  return for_good ? Outcome::kRefused : Outcome::kAgain;
}

void BatchSender::Loop() {
  std::unique_ptr<net::HttpClient> client = net::MakeHttpClient(options_.tls);
  seconds pause = kFirstPause;
  std::optional<std::chrono::steady_clock::time_point> end;  // real time, as all waiting is
  for (;;) {
    Body body;
    bool last = false;
    {
      MutexLock lock(mutex_);
      while (bodies_.empty() && !stop_) changed_.WaitFor(mutex_, seconds(10));
      if (bodies_.empty()) return;
      body = std::move(bodies_.front());
      bodies_.pop_front();
      bytes_ -= body.bytes.size();
      sending_ = true;
      last = stop_;
    }
    milliseconds timeout = options_.timeout;
    if (last) {
      if (!end) end = std::chrono::steady_clock::now() + kLastTry;
      timeout = std::chrono::duration_cast<milliseconds>(*end - std::chrono::steady_clock::now());
    }
    const Outcome outcome = timeout.count() > 0 ? Post(*client, body, timeout) : Outcome::kAgain;
    MutexLock lock(mutex_);
    sending_ = false;
    ++(outcome == Outcome::kSent ? counters_.sent : counters_.failed);
    if (outcome != Outcome::kAgain) {
      (outcome == Outcome::kSent ? counters_.items_sent : counters_.items_refused) += body.items;
      pause = kFirstPause;
      continue;
    }
    bytes_ += body.bytes.size();
    bodies_.push_front(std::move(body));
    MakeRoom();
    if (last) {
      for (const Body& left : bodies_) counters_.items_dropped += left.items;
      return;
    }
    const SteadyTime until = clock_.SteadyNow() + pause;
    while (!stop_) {
      const Duration left = until - clock_.SteadyNow();
      if (left <= Duration::zero()) break;
      changed_.WaitFor(mutex_, left);
    }
    pause = std::min(2 * pause, kLongestPause);
  }
}

}  // namespace leadsman
