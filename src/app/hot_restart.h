#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "gateway/gateway.h"
#include "net/listener_store.h"
#include "net/local_channel.h"

namespace leadsman {

/// How a new process takes the place of the one that runs (docs/decisions/0007-upgrade-in-place.md):
///
///   new                                   old
///   hello: protocol, program              welcome: generation | refused: why
///   listeners: which are wanted           listener: its sockets, … ; sent
///   (connects its endpoints, looks once)
///   release                               (control plane ends) released: weights set by people
///   (control plane begins)
///   ready                                 go
///   (accepts) accepting                   (accepts no more, drains) bye
///
/// The socket belongs to one user, mode 0600, and both sides look who the other is. Messages are JSON of 64 KiB at most. Each wait
/// has an end; when the conversation ends before "accepting", the old process goes on as if nothing had been.
constexpr int kHotRestartProtocol = 1;

using HandedWeights = std::map<std::string, gateway::Gateway::WeightsByPerson>;

/// The side of the process that runs.
class HotRestartHost {
 public:
  /// What the process does when it is asked to. Called on the host's thread, one call at a time.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// OK, or why nobody can take over now.
    virtual Status MayHandOver() = 0;
    virtual net::ListenerStore& listeners() = 0;
    /// Ends what one process alone may have, while requests go on.
    virtual Result<HandedWeights> Release() = 0;
    /// The other process came to nothing. `released`: after Release.
    virtual void TakeBack(const Status& why, bool released) = 0;
    /// The other process accepts: this one may drain.
    virtual void HandedOver(pid_t to) = 0;
    /// Now and then, while nobody takes over. Not before the host listens.
    virtual void OnIdle() = 0;
  };
  struct Options {
    std::string path;
    std::string program;  ///< its version, to be told
    int generation = 0;
    /// For each of: what the other process does before it asks for the sockets, before it asks for the release, and before it is ready.
    std::chrono::milliseconds patience{60'000};
  };
  /// Errors as of net::LocalListener::Listen. The owner must outlive it.
  static Result<std::unique_ptr<HotRestartHost>> Start(Options options, Owner& owner);
  /// One that takes over: the path is another process's until ListenNow. `generation` and the rest as of Start.
  static Result<std::unique_ptr<HotRestartHost>> StartForLater(Options options, Owner& owner);
  /// The process serves already, and goes on where nobody can take over from it: an error is logged, and it is tried again each second.
  void ListenNow();
  /// This process is stopping. Ends a conversation that is under way, unless the other process has been given everything: that one goes on,
  /// and false is returned. Returns when that is decided, after 10 s at the latest. Not from the owner's functions.
  bool EndUnlessReleased();
  /// As EndUnlessReleased, and waits for one that has everything, for 10 s at most.
  ~HotRestartHost();
  HotRestartHost(const HotRestartHost&) = delete;
  HotRestartHost& operator=(const HotRestartHost&) = delete;

 private:
  struct Conversation;
  HotRestartHost(Options options, Owner& owner) : options_(std::move(options)), owner_(owner) {}
  /// Of the conversation.
  enum class Stage { kNone, kBegun, kReleased };
  static Result<std::unique_ptr<HotRestartHost>> Make(Options options, Owner& owner);
  Status StartLoop();
  void Wake();
  void Loop();
  void ListenIfAsked();
  std::unique_ptr<net::LocalChannel> Accept(int talks_with);
  void SetStage(Stage stage);
  void Talk(net::LocalChannel& other);
  Status HandOver(net::LocalChannel& other, Conversation& so_far);
  Status SendListeners(net::LocalChannel& other, const std::set<net::ListenerName>& wanted,
                       std::set<net::ListenerName>& handed);
  /// The next message, whose word must be `word`; who else connects meanwhile is refused.
  Result<std::string> Await(net::LocalChannel& other, const char* word,
                            std::chrono::milliseconds wait);

  const Options options_;
  Owner& owner_;
  std::unique_ptr<net::LocalListener> listener_;
  UniqueFd wake_;
  std::atomic<bool> may_listen_{false};
  std::atomic<bool> ending_{false};  ///< no conversation begins, and one that has not come far ends
  std::atomic<bool> leaving_{false};  ///< the thread is to end
  Mutex mutex_;
  CondVar changed_;
  Stage stage_ GUARDED_BY(mutex_) = Stage::kNone;
  bool over_ = false;                                          ///< of the thread
  std::optional<std::chrono::steady_clock::time_point> said_;  ///< of the thread
  std::thread thread_;
};

/// The side of the process that takes over. Confined.
class HotRestartGuest {
 public:
  /// Null: nobody listens there, and the start is one as any. FAILED_PRECONDITION: the other process refuses, and says why.
  static Result<std::unique_ptr<HotRestartGuest>> Connect(const std::string& path,
                                                          const std::string& program);

  int generation() const { return generation_; }  ///< of the other process
  /// For each stage, as of HotRestartHost::Options.
  std::chrono::milliseconds patience() const { return patience_; }
  pid_t other() const { return channel_->peer(); }
  /// Those of the wanted listeners that the other process has.
  Status TakeListeners(const std::vector<net::ListenerName>& wanted, net::ListenerStore& into);
  /// When this returns OK the data_dir is free. A process that has died meanwhile has let go of it, too.
  Result<HandedWeights> Release(std::chrono::milliseconds wait);
  /// OK: this process is to accept now.
  Status Ready();
  /// It does. When it returns the path is free.
  void Accepting();

 private:
  explicit HotRestartGuest(std::unique_ptr<net::LocalChannel> channel)
      : channel_(std::move(channel)) {}
  Result<std::string> Ask(const std::string& text, std::chrono::milliseconds wait);
  /// Whether the other process is over, instead of having had enough. One that is stopping says nothing more, and is waited for.
  bool OtherHasDied(const Status& why) const;

  std::unique_ptr<net::LocalChannel> channel_;
  bool has_everything_ = false;
  int generation_ = 0;
  std::chrono::milliseconds patience_{60'000};
};

}  // namespace leadsman
