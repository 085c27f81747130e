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
  Check(HealthChecker& owner, VersionRef version, Endpoint& endpoint)
      : owner_(owner), version_(std::move(version)), endpoint_(endpoint), parser_(kMaxHead) {}

  /// By another configuration from now on; at once, unless it is that of before.
  void Renew(VersionRef version) {
    const bool same = options() == version->service->options.health &&
                      version->SpokenToAs(*version_) &&
                      service().protocol == version->service->options.protocol;
    version_ = std::move(version);
    if (same) return;
    End();
    Begin();
  }

  /// The endpoint does not stand in the configuration any more, or is not checked.
  void Stop() {
    End();
    ++round_;
  }

  void Begin() {
    ++round_;
    addresses_left_ = endpoint_.addresses.Get()->size();
    if (addresses_left_ == 0) return Over(false, "its name was not found");
    deadline_ = owner_.loop_.now() + options().timeout;
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
    if (!connected_ && version_->tls) {
      if (!BeginUpstreamTls(*socket_, *version_, endpoint_)) return ConnectFailed(ENOMEM);
      return ShakeHands();
    }
    Ask();
  }

  void OnSweep(SteadyTime now) {
    if (socket_ && now >= deadline_) {
      Over(false, StrCat("the check ", options().path, " was not answered within ",
                         options().timeout.count(), " ms"));
    }
  }

  Endpoint& endpoint() { return endpoint_; }

  void End() {
    call_.reset();
    if (!socket_) return;
    owner_.loop_.Unwatch(socket_->descriptor());
    socket_.reset();
  }

 private:
  const ServiceOptions& service() const { return version_->service->options; }
  const HealthOptions& options() const { return service().health; }

  void ShakeHands() {
    const auto shake = socket_->Handshake();
    if (shake == net::StreamSocket::Shake::kPending && !socket_->broken()) return;
    if (shake != net::StreamSocket::Shake::kDone)
      return Over(false, WhyTlsFailed(*socket_, *version_, endpoint_));
    Ask();
  }

  void Ask() {
    if (!std::exchange(connected_, true) && service().http2()) {
      if (socket_->encrypted() && socket_->tls_protocol() != "h2")
        return Over(false, "does not speak HTTP/2 over TLS (ALPN); set protocol: http1");
      call_ = std::make_unique<H2Check>(*socket_);
      const bool grpc = service().protocol == ServiceOptions::Protocol::kGrpc;
      const std::string& host = options().host.empty() ? endpoint_.name : options().host;
      if (!call_->Begin(options().path, host, grpc, version_->tls != nullptr))
        return Over(false, "there is no memory for the check");
    }
    if (call_) {
      const auto result = call_->Run();
      if (result) Over(result->empty(), StrCat("the check ", options().path, " ", *result));
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
    const std::string host = options().host.empty() ? endpoint_.name : options().host;
    if (service().http2()) return;
    socket_->Queue(
        StrCat("GET ", options().path, " HTTP/1.1\r\nHost: ", host,
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
                      StrCat("the check ", options().path, " was answered ", head_.status));
      }
    }
  }

  void Over(bool good, const std::string& why) {
    if (endpoint_.health.OnCheck(good, why, options())) {
      if (good) {
        LOG_INFO("endpoint is healthy", {"service", service().name}, {"version", version_->number},
                 {"endpoint", endpoint_.name});
      } else {
        LOG_WARN("endpoint is not healthy: it gets no requests", {"service", service().name},
                 {"version", version_->number}, {"endpoint", endpoint_.name}, {"reason", why});
      }
    }
    Pause();
  }

  void Pause() {
    End();
    // Not all at the same moment.
    const auto spread = static_cast<uint64_t>(options().interval.count() / 10 + 1);
    owner_.loop_.At(
        owner_.loop_.now() + options().interval + milliseconds(owner_.rng_.Below(spread)),
        [self = shared_from_this(), round = round_] {
          if (self->round_ == round) self->Begin();
        });
  }

  HealthChecker& owner_;
  VersionRef version_;
  Endpoint& endpoint_;  ///< of the version
  net::AnswerHeadParser parser_;
  net::AnswerHead head_;
  std::unique_ptr<net::StreamSocket> socket_;  ///< null between two checks
  std::unique_ptr<H2Check> call_;              ///< over HTTP/2
  bool connected_ = false;
  size_t addresses_left_ = 0;  ///< for this check
  SteadyTime deadline_{};
  size_t turn_ = 0;
  uint64_t round_ = 0;  ///< a timer may come too late
};

HealthChecker::HealthChecker() : rng_(RandomSeed()) {}

Result<std::unique_ptr<HealthChecker>> HealthChecker::Create() {
  std::unique_ptr<HealthChecker> checker(new HealthChecker());
  if (!checker->loop_.valid())
    return ResourceExhaustedError("no descriptors are left for the gateway's health checks");
  return checker;
}

Status HealthChecker::Prepare(const Table& table, milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  bool names = false;
  bool checks = false;
  for (const Version* version : table.versions) {
    checks = checks || !version->service->options.health.path.empty();
    for (const auto& endpoint : version->endpoints) {
      const bool literal = IsLiteral(endpoint->host);
      names = names || !literal;
      if (!endpoint->addresses.Get()->empty()) continue;
      if (!literal && std::chrono::steady_clock::now() >= until) continue;
      auto found = net::Resolve(endpoint->host, endpoint->port,
                                literal ? std::chrono::steady_clock::now() + kNameTimeout : until);
      if (found.ok()) {
        endpoint->addresses.Set(std::make_shared<const Addresses>(std::move(found).value()));
      } else if (literal) {
        return found.status();
      }
    }
  }
  if (names && !names_) {
    ASSIGN_OR_RETURN(names_,
                     Periodic::Start("gateway-names", kNamesFirst, [this] { LookUpNames(); }));
  }
  if (!checks || thread_.joinable()) return OkStatus();
  ASSIGN_OR_RETURN(thread_, StartThread("gateway-health", [this] {
                     ScheduleSweep();
                     loop_.Run();
                     for (const auto& [endpoint, check] : checks_) check->Stop();
                   }));
  return OkStatus();
}

void HealthChecker::Adopt(std::shared_ptr<const Table> table) {
  {
    MutexLock lock(mutex_);
    table_ = table;
  }
  if (names_) names_->RunSoon();
  if (thread_.joinable()) loop_.Post([this, table = std::move(table)] { AdoptNow(table); });
}

void HealthChecker::AdoptNow(const std::shared_ptr<const Table>& table) {
  std::map<const Endpoint*, std::shared_ptr<Check>> before;
  before.swap(checks_);
  for (const Version* version : table->versions) {
    if (version->service->options.health.path.empty()) continue;
    for (const auto& endpoint : version->endpoints) {
      const auto old_one = before.find(endpoint.get());
      if (old_one != before.end()) {
        checks_.insert(before.extract(old_one)).position->second->Renew({table, version});
      } else {
        const auto made = std::make_shared<Check>(*this, VersionRef(table, version), *endpoint);
        checks_.emplace(endpoint.get(), made);
        made->Begin();
      }
    }
  }
  for (const auto& [endpoint, check] : before) {
    check->Stop();
    loop_.Bury(check);  // events of this turn may still come for it
    if (table->VersionOf(*endpoint) != nullptr) check->endpoint().health.ForgetChecks();
  }
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
    for (const auto& [endpoint, check] : checks_) check->OnSweep(loop_.now());
    ScheduleSweep();
  });
}

/// Every second those that have no address yet, every ten the others too.
void HealthChecker::LookUpNames() {
  const bool all = name_round_++ % (kNames / kNamesFirst) == 0;
  std::shared_ptr<const Table> table;
  {
    MutexLock lock(mutex_);
    table = table_;
  }
  if (!table) return;
  for (const auto& service : table->services) {
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
