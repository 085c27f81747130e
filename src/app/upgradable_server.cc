#include "app/upgradable_server.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "app/control_plane.h"
#include "app/data_plane.h"
#include "app/hot_restart.h"
#include "app/service_notify.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

/// For each endpoint to be looked at once, before the sockets are anybody's; half of what the other process waits for, if that is less.
constexpr milliseconds kFirstLook = 10s;
/// For the other process to write down what it has, and let go of it.
constexpr milliseconds kRelease = 45s;
/// How often it is said that the state of this process is still not back.
constexpr auto kSayAgain = 30s;

/// CANCELLED when this process is to end: signals wait until it has started, as they are blocked.
Status StillWanted() {
  sigset_t waiting;
  sigemptyset(&waiting);
  const bool told = sigpending(&waiting) == 0 &&
                    (sigismember(&waiting, SIGTERM) == 1 || sigismember(&waiting, SIGINT) == 1);
  return told ? CancelledError("told to stop before it took over") : OkStatus();
}

/// A process that proxies, in two halves: requests pass through the data plane until the end of the process; the control plane goes
/// when another process takes over, and comes back when that comes to nothing.
class UpgradableServer final : public Served, public HotRestartHost::Owner {
 public:
  UpgradableServer(Config config, std::function<Result<Config>()> load, ReloadOptions options)
      : config_(std::move(config)), load_(std::move(load)), options_(std::move(options)) {}

  ~UpgradableServer() override { host_.reset(); }

  Status Start() {
    const std::string path = HotRestartPath(config_);
    auto guest = HotRestartGuest::Connect(path, kLeadsmanVersion);
    if (!guest.ok())
      return Annotate(guest.status(), StrCat("take over from the process that runs, at ", path,
                                             " (--hot-restart)"));
    HotRestartHost::Options host{
        .path = path, .program = kLeadsmanVersion, .patience = config_.hot_restart.timeout};
    GatewayHooks hooks;
    if (*guest) {
      RETURN_IF_ERROR(Annotate(TakeOver(**guest), "take over from the process that runs"));
      // All that can fail of it before this process is the only one.
      host.generation = plane_.generation;
      ASSIGN_OR_RETURN(host_, HotRestartHost::StartForLater(host, *this));
      hooks.before_start = [&]() -> Status {
        RETURN_IF_ERROR(StillWanted());
        return (*guest)->Ready();
      };
      hooks.after_start = [&] {
        plane_.listeners.SetAllHandedOver(false);
        (*guest)->Accepting();
      };
      // At once, so that the other process goes on before this one has been taken apart.
      hooks.on_failure = [&] { (*guest).reset(); };
    }
    {
      MutexLock lock(mutex_);
      ASSIGN_OR_RETURN(control_,
                       CreateControlPlane(config_, load_, options_, plane_, std::move(hooks)));
    }
    for (const net::ListenerName& name : plane_.listeners.CloseUnused())
      LOG_WARN("a socket that was taken over is of no use here", {"listener", name.Text()});
    if (*guest) {
      LOG_INFO("took over; the other process drains", {"pid", (*guest)->other()},
               {"generation", plane_.generation.load()});
      host_->ListenNow();
      return OkStatus();
    }
    auto started = HotRestartHost::Start(std::move(host), *this);
    if (!started.ok())
      return Annotate(started.status(), "where another process can take over (hot_restart.socket)");
    host_ = std::move(started).value();
    return OkStatus();
  }

  /// Says "stopped" in the end what was lost on the way.
  void Stop(milliseconds wait) {
    host_.reset();
    MutexLock lock(mutex_);
    if (stuck_ != nullptr) {
      LOG_INFO("stopped");
      std::quick_exit(0);  // what hangs may use what would be taken apart now
    }
    if (control_) control_->Stop(wait);
    control_.reset();
    if (plane_.exchanges) plane_.exchanges->Stop();
    if (handed_over_)
      LOG_INFO("events of the last requests are told to nobody",
               {"events", plane_.sink->dropped()});
  }

  const std::atomic<bool>& handed_over() const { return handed_over_; }

  // Served
  Status Reload(const std::string& trigger) override {
    MutexLock lock(mutex_);
    if (!control_) {
      LOG_WARN("the configuration is not read again", {"reason", "another process takes over"});
      return UnavailableError("another process takes over");
    }
    return control_->Reload(trigger);
  }
  void TurnUnready() override {
    draining_ = true;
    MutexLock lock(mutex_);
    if (control_) control_->TurnUnready();
  }
  void BeginDrain(milliseconds grace) override {
    draining_ = true;
    // What was only lent is this process's alone again, with whoever waits there.
    host_->EndUnlessReleased();
    MutexLock lock(mutex_);
    // Who is told to go elsewhere is to find the address shut, unless another process is there.
    plane_.listeners.Close();
    if (control_)
      control_->BeginDrain(grace);
    else
      plane_.gateway->BeginDrain(grace);
  }
  bool AwaitDrained(milliseconds wait) override {
    MutexLock lock(mutex_);
    return control_ ? control_->AwaitDrained(wait) : plane_.gateway->AwaitDrained(wait);
  }

  // HotRestartHost::Owner
  Status MayHandOver() override {
    if (draining_)
      return FailedPreconditionError(StrCat("the process that runs (pid ", getpid(),
                                            ") is stopping; start again when it has"));
    MutexLock lock(mutex_);
    if (!stuck_) return OkStatus();
    return FailedPreconditionError(
        StrCat("the process that runs (pid ", getpid(),
               ") cannot let go of its data_dir, as its log says; restart it"));
  }
  net::ListenerStore& listeners() override { return plane_.listeners; }

  Result<HandedWeights> Release() override {
    std::unique_ptr<ControlPlane> control;
    {
      MutexLock lock(mutex_);
      if (draining_) return FailedPreconditionError("this process is stopping");
      control = std::move(control_);
    }
    if (control) {
      const Status released = control->Release();
      if (!released.ok()) {
        MutexLock lock(mutex_);
        stuck_ = control.release();  // it cannot be destroyed, as what hangs in it uses it
        LOG_ERROR(
            "the monitor, rollouts and alarms of this process have stopped, and cannot be given "
            "away; requests pass on. "
            "Restart it",
            {"reason", released});
        return released;
      }
      Config in_force = control->config_in_force();  // with what was reloaded until it had ended
      control.reset();
      MutexLock lock(mutex_);
      config_ = std::move(in_force);
    }
    return plane_.gateway->weights_by_person();
  }

  void TakeBack(const Status&, bool released) override {
    ++plane_.failed_takeovers;
    if (released) BuildAgain();
  }

  void HandedOver(pid_t to) override {
    LOG_INFO("handed over; draining", {"pid", to}, {"generation", plane_.generation.load()});
    plane_.sink->End();
    handed_over_ = true;
    pthread_kill(main_thread_, kHandedOverSignal);
  }

  void OnIdle() override { BuildAgain(); }

 private:
  /// Until the other process has let go of what only one may have.
  Status TakeOver(HotRestartGuest& guest) {
    plane_.generation = guest.generation() + 1;
    RETURN_IF_ERROR(guest.TakeListeners(ListenersOf(config_), plane_.listeners));
    RETURN_IF_ERROR(plane_.Build(config_));
    RETURN_IF_ERROR(plane_.gateway->Prepare());
    const SteadyTime until = plane_.clock.SteadyNow() + std::min(kFirstLook, guest.patience() / 2);
    std::vector<std::string> unchecked = plane_.gateway->Unchecked();
    while (!unchecked.empty() && plane_.clock.SteadyNow() < until) {
      RETURN_IF_ERROR(StillWanted());
      std::this_thread::sleep_for(10ms);
      unchecked = plane_.gateway->Unchecked();
    }
    if (!unchecked.empty())
      LOG_WARN("taking over before all endpoints were looked at", {"left", HumanList(unchecked)});
    RETURN_IF_ERROR(StillWanted());
    ASSIGN_OR_RETURN(const HandedWeights weights, guest.Release(kRelease));
    plane_.gateway->TakeWeights(weights);
    return OkStatus();
  }

  /// After a takeover that has come to nothing. The other process may still hold the data_dir: then it is tried again.
  void BuildAgain() {
    Config config;
    {
      MutexLock lock(mutex_);
      if (control_ || stuck_ || draining_ || handed_over_) return;
      config = config_;
    }
    auto built = CreateControlPlane(std::move(config), load_, options_, plane_);
    const SteadyTime now = plane_.clock.SteadyNow();
    MutexLock lock(mutex_);
    if (built.ok()) {
      control_ = std::move(built).value();
      if (draining_) control_->TurnUnready();
      said_.reset();
      LOG_INFO("monitor, rollouts and alarms go on in this process",
               {"events_dropped", plane_.sink->dropped()});
      return;
    }
    if (said_ && now - *said_ < kSayAgain) return;
    said_ = now;
    LOG_ERROR(
        "monitor, rollouts and alarms are not back yet; requests pass on, and it is tried again "
        "each second",
        {"reason", built.status()});
  }

  const pthread_t main_thread_ = pthread_self();
  std::atomic<bool> draining_{false};
  std::atomic<bool> handed_over_{false};
  DataPlane plane_{SystemClock()};
  Mutex mutex_;
  Config
      config_;  ///< of the start, and when there is no control plane the one in force; under mutex_ once the host runs
  const std::function<Result<Config>()> load_;
  const ReloadOptions options_;
  std::unique_ptr<ControlPlane> control_ GUARDED_BY(mutex_);  ///< null: another process takes over
  ControlPlane* stuck_ GUARDED_BY(mutex_) = nullptr;
  std::optional<SteadyTime> said_ GUARDED_BY(mutex_);
  std::unique_ptr<HotRestartHost> host_;  ///< the last: its thread uses the rest
};

}  // namespace

std::string HotRestartPath(const Config& config) {
  if (!config.hot_restart.socket.empty()) return config.hot_restart.socket;
  return (std::filesystem::path(config.data_dir) / "hot-restart.sock").string();
}

std::vector<net::ListenerName> ListenersOf(const Config& config) {
  std::vector<net::ListenerName> names;
  auto add = [&](const std::string& address, uint16_t port) {
    const net::ListenerName name{address, port};
    if (port != 0 && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  if (config.gateway) {
    for (const gateway::ListenerOptions& listener : config.gateway->listeners)
      add(listener.address, listener.port);
  }
  add(config.admin.address, config.admin.port);
  if (config.monitor.cloudevents)
    add(config.monitor.cloudevents->address, config.monitor.cloudevents->port);
  if (config.monitor.envoy) add(config.monitor.envoy->address, config.monitor.envoy->port);
  return names;
}

int RunUpgradable(Config config, const std::function<Result<Config>()>& load,
                  const ReloadOptions& options, ServeOptions serve) {
  // Before there are threads.
  sigaddset(&serve.signals, kHandedOverSignal);
  pthread_sigmask(SIG_BLOCK, &serve.signals, nullptr);
  UpgradableServer server(std::move(config), load, options);
  if (const Status started = server.Start(); !started.ok()) {
    LOG_ERROR("cannot start", {"reason", std::string(started.message())});
    return 1;
  }
  // With the process id: of a service that is upgraded in place the main process changes.
  const char* const manager = std::getenv("NOTIFY_SOCKET");
  if (const Status told = NotifyServiceManager(manager != nullptr ? manager : "",
                                               StrCat("READY=1\nMAINPID=", getpid()));
      !told.ok())
    LOG_WARN("the service manager does not know that this process runs", {"reason", told});
  const bool hastened =
      ServeUntilDrained(server, serve.signals, serve.drain, std::move(serve.watcher),
                        options.look_every, &server.handed_over());
  server.Stop(hastened ? 1s : serve.last_wait);
  LOG_INFO("stopped");
  return 0;
}

}  // namespace leadsman
