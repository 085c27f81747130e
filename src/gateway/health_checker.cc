#include "gateway/health_checker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "gateway/h2_check.h"
#include "gateway/upstream_tls.h"
#include "net/answer_head.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;
using Got = net::StreamSocket::Got;

constexpr milliseconds kNames{10'000};
constexpr milliseconds kNameTimeout{5'000};
constexpr milliseconds kNamesFirst{1'000};  // a name that was not found yet
constexpr size_t kMaxHead = 64 << 10;

bool IsLiteral(const std::string& host) {
  unsigned char binary[16];
  return inet_pton(AF_INET, host.c_str(), binary) == 1 ||
         inet_pton(AF_INET6, host.c_str(), binary) == 1;
}

/// A name server may tell them in another order each time.
bool Same(const Addresses& a, const Addresses& b) {
  return std::is_permutation(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

/// The checks of one endpoint, one after the other.
class HealthChecker::Check final : public net::EventLoop::Watcher,
                                   public std::enable_shared_from_this<Check> {
 public:
  Check(HealthChecker& owner, const Service& service, const Version& version, Endpoint& endpoint)
      : owner_(owner),
        service_(service),
        version_(version),
        endpoint_(endpoint),
        options_(service.options.health),
        parser_(kMaxHead) {}

  void Begin() {
    addresses_left_ = endpoint_.addresses.Get()->size();
    if (addresses_left_ == 0) return Over(false, "its name was not found");
    deadline_ = owner_.loop_.now() + options_.timeout;
    ConnectNext();
  }

  void OnEvents(uint32_t events) override {
    if (!socket_) return;
    socket_->OnEvents(events);
    if (socket_->encrypted() && !connected_) return ShakeHands();
    if (socket_->broken() && socket_->error() != 0) {
      const int error = socket_->error();
      if (!connected_) return ConnectFailed(error);
      return Over(false, StrCat("the connection broke: ", strerror(error)));
    }
    if (!connected_ && !(events & net::EventLoop::kWritable)) return;
    if (!connected_ && version_.tls) {
      if (!BeginUpstreamTls(*socket_, version_, endpoint_)) return ConnectFailed(ENOMEM);
      return ShakeHands();
    }
    Ask();
  }

  void OnSweep(SteadyTime now) {
    if (socket_ && now >= deadline_) {
      Over(false, StrCat("the check ", options_.path, " was not answered within ",
                         options_.timeout.count(), " ms"));
    }
  }

  void End() {
    call_.reset();
    if (!socket_) return;
    owner_.loop_.Unwatch(socket_->descriptor());
    socket_.reset();
  }

 private:
  void ShakeHands() {
    const auto shake = socket_->Handshake();
    if (shake == net::StreamSocket::Shake::kPending && !socket_->broken()) return;
    if (shake != net::StreamSocket::Shake::kDone)
      return Over(false, WhyTlsFailed(*socket_, version_, endpoint_));
    Ask();
  }

  void Ask() {
    if (!std::exchange(connected_, true) && service_.options.http2()) {
      if (socket_->encrypted() && socket_->tls_protocol() != "h2")
        return Over(false, "does not speak HTTP/2 over TLS (ALPN); set protocol: http1");
      call_ = std::make_unique<H2Check>(*socket_);
      const bool grpc = service_.options.protocol == ServiceOptions::Protocol::kGrpc;
      const std::string& host = options_.host.empty() ? endpoint_.name : options_.host;
      if (!call_->Begin(options_.path, host, grpc, version_.tls != nullptr))
        return Over(false, "there is no memory for the check");
    }
    if (call_) {
      const auto result = call_->Run();
      if (result) Over(result->empty(), StrCat("the check ", options_.path, " ", *result));
      return;
    }
    if (!socket_->Flush()) return Over(false, "the connection broke");
    ReadAnswer();
  }

  /// To the endpoint's next address.
  void ConnectNext() {
    End();
    --addresses_left_;
    connected_ = false;
    parser_.Reset();
    const auto addresses = endpoint_.addresses.Get();
    const net::SocketAddress& address = (*addresses)[turn_++ % addresses->size()];
    const int fd =
        ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return ConnectFailed(errno);
    socket_ = std::make_unique<net::StreamSocket>(fd, owner_.pool_);
    if (connect(fd, address.get(), address.size) != 0 && errno != EINPROGRESS)
      return ConnectFailed(errno);
    if (!owner_.loop_.Watch(fd, *this)) return ConnectFailed(ENOMEM);
    const std::string host = options_.host.empty() ? endpoint_.name : options_.host;
    if (service_.options.http2()) return;
    socket_->Queue(
        StrCat("GET ", options_.path, " HTTP/1.1\r\nHost: ", host,
               "\r\nUser-Agent: leadsman-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"));
  }

  void ConnectFailed(int error) {
    if (IsOurFault(error)) return Pause();  // nobody was asked
    if (addresses_left_ > 0) return ConnectNext();
    Over(false, error == ECONNREFUSED ? std::string("refused the connection")
                                      : StrCat("cannot be connected to: ", strerror(error)));
  }

  void ReadAnswer() {
    for (;;) {
      const Got got = socket_->Fill(kMaxHead + net::BufferPool::kSize);
      if (got == Got::kNothing) return;
      if (got != Got::kBytes) {
        const std::string& error = socket_->tls_error();
        return Over(false, error.empty() ? "ended the connection without an answer"
                                         : StrCat("ended TLS without an answer: ", error));
      }
      switch (parser_.Feed(socket_->input(), head_)) {
        case net::ParseState::kNeedMore:
          continue;
        case net::ParseState::kError:
          return Over(false,
                      StrCat("sent an answer that is not understood: ", parser_.error_message()));
        case net::ParseState::kDone:
          if (head_.interim()) {
            socket_->Take(head_.size);
            parser_.Reset();
            continue;
          }
          return Over(head_.status >= 200 && head_.status < 400,
                      StrCat("the check ", options_.path, " was answered ", head_.status));
      }
    }
  }

  void Over(bool good, const std::string& why) {
    if (endpoint_.health.OnCheck(good, why, options_)) {
      if (good) {
        LOG_INFO("endpoint is healthy", {"service", service_.options.name},
                 {"version", version_.number}, {"endpoint", endpoint_.name});
      } else {
        LOG_WARN("endpoint is not healthy: it gets no requests", {"service", service_.options.name},
                 {"version", version_.number}, {"endpoint", endpoint_.name}, {"reason", why});
      }
    }
    Pause();
  }

  void Pause() {
    End();
    // Not all at the same moment.
    const auto spread = static_cast<uint64_t>(options_.interval.count() / 10 + 1);
    owner_.loop_.At(
        owner_.loop_.now() + options_.interval + milliseconds(owner_.rng_.Below(spread)),
        [self = shared_from_this()] { self->Begin(); });
  }

  HealthChecker& owner_;
  const Service& service_;
  const Version& version_;
  Endpoint& endpoint_;
  const HealthOptions& options_;
  net::AnswerHeadParser parser_;
  net::AnswerHead head_;
  std::unique_ptr<net::StreamSocket> socket_;  ///< null between two checks
  std::unique_ptr<H2Check> call_;              ///< over HTTP/2
  bool connected_ = false;
  size_t addresses_left_ = 0;  ///< for this check
  SteadyTime deadline_{};
  size_t turn_ = 0;
};

HealthChecker::HealthChecker(const std::vector<std::unique_ptr<Service>>& services)
    : services_(services), rng_(RandomSeed()) {}

Result<std::unique_ptr<HealthChecker>> HealthChecker::Start(
    const std::vector<std::unique_ptr<Service>>& services) {
  std::unique_ptr<HealthChecker> checker(new HealthChecker(services));
  if (!checker->loop_.valid())
    return ResourceExhaustedError("no descriptors are left for the gateway's health checks");
  bool names = false;
  for (const auto& service : services) {
    for (const auto& version : service->versions) {
      for (const auto& endpoint : version->endpoints) {
        if (IsLiteral(endpoint->host)) {
          ASSIGN_OR_RETURN(Addresses addresses,
                           net::Resolve(endpoint->host, endpoint->port,
                                        std::chrono::steady_clock::now() + kNameTimeout));
          endpoint->addresses.Set(std::make_shared<const Addresses>(std::move(addresses)));
        } else {
          names = true;
        }
        if (!service->options.health.path.empty())
          checker->checks_.push_back(
              std::make_shared<Check>(*checker, *service, *version, *endpoint));
      }
    }
  }
  if (names) {
    ASSIGN_OR_RETURN(checker->names_,
                     Periodic::Start("gateway-names", kNamesFirst,
                                     [raw = checker.get()] { raw->LookUpNames(); }));
    checker->names_->RunSoon();
  }
  if (checker->checks_.empty()) return checker;
  ASSIGN_OR_RETURN(checker->thread_, StartThread("gateway-health", [raw = checker.get()] {
                     for (const auto& check : raw->checks_)
                       raw->loop_.At(raw->loop_.now(), [check] { check->Begin(); });
                     raw->ScheduleSweep();
                     raw->loop_.Run();
                     for (const auto& check : raw->checks_) check->End();
                   }));
  return checker;
}

HealthChecker::~HealthChecker() {
  stopping_ = true;
  names_.reset();
  loop_.Post([this] { loop_.Stop(); });
  if (thread_.joinable()) thread_.join();
}

void HealthChecker::ScheduleSweep() {
  constexpr milliseconds kEvery{20};
  loop_.At(loop_.now() + kEvery, [this] {
    for (const auto& check : checks_) check->OnSweep(loop_.now());
    ScheduleSweep();
  });
}

/// Every second those that have no address yet, every ten the others too.
void HealthChecker::LookUpNames() {
  const bool all = name_round_++ % (kNames / kNamesFirst) == 0;
  for (const auto& service : services_) {
    for (const auto& version : service->versions) {
      for (const auto& endpoint : version->endpoints) {
        if (stopping_) return;
        const auto known = endpoint->addresses.Get();
        if (IsLiteral(endpoint->host) || (!all && !known->empty())) continue;
        auto found = net::Resolve(
            endpoint->host, endpoint->port, std::chrono::steady_clock::now() + kNameTimeout,
            [this] { return stopping_ ? CancelledError("stopping") : OkStatus(); });
        if (!found.ok()) {
          // Those that were found before may still be right.
          if (known->empty() && all)
            LOG_WARN("endpoint's name is not found", {"service", service->options.name},
                     {"endpoint", endpoint->name}, {"reason", found.status().message()});
          continue;
        }
        if (Same(*known, *found)) continue;
        LOG_INFO("endpoint's name has new addresses", {"service", service->options.name},
                 {"endpoint", endpoint->name}, {"addresses", found->size()});
        endpoint->addresses.Set(std::make_shared<const Addresses>(std::move(found).value()));
      }
    }
  }
}

}  // namespace leadsman::gateway
