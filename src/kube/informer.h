#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "kube/client.h"
#include "kube/object_store.h"
#include "kube/stop_signal.h"

namespace leadsman::kube {

struct InformerOptions {
  Selection selection;
  /// Every so often the handler hears of each object again, unchanged: not listed, but the watch is begun anew for it. 0: never.
  std::chrono::milliseconds resync{0};
  /// Of one watch, drawn between this and its double, so that the watches of many do not end at once.
  std::chrono::seconds watch{300};
  Backoff::Limits backoff{std::chrono::milliseconds(500), std::chrono::seconds(30)};
  /// Keeps metadata.managedFields, which may be half of an object and which hardly anybody reads.
  bool managed_fields = false;
};

/// What an Informer has done since it was started.
struct InformerCounters {
  std::atomic<uint64_t> lists{0};
  std::atomic<uint64_t> watches{0};
  std::atomic<uint64_t> events{0};   ///< bookmarks are none
  std::atomic<uint64_t> expired{0};  ///< watches that could not go on (410): listed again
  std::atomic<uint64_t> failures{0};
};

/// Keeps a copy of the objects of one resource, by a list and then a watch, on a thread of its own.
///
///   kListing ──→ kWatching ──(ended, failed)──→ kWatching from the last event ──(410)──→ kListing
///   kWatching ──(nonsense, refused as no good, too many objects, five in a row that brought nothing)──→ kListing
///   any ──(failed)──→ the same, after a back-off; the copy stays as it was
///
/// The handler is called on that thread, one change at a time and in the server's order, so it must be quick: it puts a key
/// into a WorkQueue. What happened while the watch was cut comes as the difference. Everything else is thread-safe.
class Informer {
 public:
  using Handler = std::function<void(const ObjectChange&)>;

  /// RESOURCE_EXHAUSTED when the system has no thread to give. `client` must outlive it.
  static Result<std::unique_ptr<Informer>> Start(Client& client, Resource resource,
                                                 InformerOptions options, Handler handler);
  /// Waits for the handler to return; a request under way is given up.
  ~Informer();
  Informer(const Informer&) = delete;
  Informer& operator=(const Informer&) = delete;

  /// All that the first list had has been handed to the handler.
  bool synced() const { return synced_; }
  /// False when it was not within that time.
  bool WaitUntilSynced(std::chrono::milliseconds timeout) const;

  std::optional<Object> Get(std::string_view ns, std::string_view name) const {
    return store_.Get(ns, name);
  }
  std::vector<Object> All() const { return store_.All(); }
  size_t size() const { return store_.size(); }
  /// Why the latest request has failed; OK when the watch goes on.
  Status problem() const;
  const InformerCounters& counters() const { return counters_; }

 private:
  Informer(Client& client, Resource resource, InformerOptions options, Handler handler);
  void Run();
  Status ListOnce();
  Status WatchOnce();
  Status Take(WatchEvent event);
  bool HasRoomFor(const WatchEvent& event) const;
  void CountBarren(const Status& watched, bool resyncs);
  void SetProblem(const Status& status);
  void Resync();
  Object Slim(Object object) const;
  std::chrono::seconds WatchTime();

  Client& client_;
  const Resource resource_;
  const InformerOptions options_;
  const Handler handler_;
  ObjectStore store_;
  InformerCounters counters_;
  StopSignal stop_;
  std::atomic<bool> synced_{false};
  mutable Mutex mutex_;
  mutable CondVar changed_;
  Status problem_ GUARDED_BY(mutex_);
  // Of the thread alone.
  std::string resource_version_;  ///< empty: list
  std::optional<std::chrono::seconds> retry_after_;
  bool heard_ = false;  ///< the watch has brought something
  int barren_ = 0;      ///< watches in a row that have not
  std::chrono::steady_clock::time_point resync_at_;
  Backoff backoff_;
  Rng rng_;
  std::thread thread_;
};

}  // namespace leadsman::kube
