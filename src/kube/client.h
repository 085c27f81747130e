#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "kube/backoff.h"
#include "kube/object.h"
#include "kube/resource.h"
#include "kube/stop_signal.h"
#include "kube/transport.h"
#include "kube/watch_decoder.h"

namespace leadsman::kube {

/// Which objects of a resource. A value.
struct Selection {
  std::string ns;              ///< empty: all namespaces
  std::string label_selector;  ///< "app=shop,tier!=test"
  std::string field_selector;  ///< "metadata.name=leadsman"
};

struct ObjectList {
  std::vector<Object>
      items;  ///< each with kind and apiVersion, which the server leaves out in lists
  std::string resource_version;  ///< a watch goes on from here
};

struct ApplyOptions {
  std::string field_manager;  ///< who owns the fields from now on; must not be empty
  bool force = false;         ///< take fields that others own; otherwise that is ABORTED
  std::string subresource;    ///< "status"; empty: the object
};

struct DeleteOptions {
  std::string uid;               ///< only this one, not its successor of the same name
  std::string resource_version;  ///< only as it was then; otherwise ABORTED
  std::string propagation;  ///< "Background", "Foreground", "Orphan"; empty: the resource's default
};

struct WatchOptions {
  Selection selection;
  std::string resource_version;  ///< of a list, or of the last event; must not be empty
  /// After which the server ends the watch, which is no error.
  std::chrono::seconds timeout{300};
  /// Without an event or a bookmark, of which the server sends one a minute, the connection counts as dead.
  std::chrono::seconds idle_timeout{150};
  std::function<void()>
      began;  ///< the server has said yes; on the thread of the watch. Absent: nobody wants to know
};

struct ClientOptions {
  std::chrono::milliseconds timeout{30'000};  ///< of one call, with everything that is tried again
  size_t max_answer_bytes = 64 << 20;         ///< of one answer: a page of a list, an object
  size_t max_event_bytes = 8 << 20;
  int page = 500;                ///< objects of a list in one answer
  size_t max_objects = 100'000;  ///< of one list, and of what an Informer keeps
  size_t max_pages = 10'000;     ///< of one list: a server may send less than a page
  std::chrono::milliseconds list_timeout{300'000};  ///< of one list, all pages together
  Backoff::Limits backoff{std::chrono::milliseconds(200), std::chrono::seconds(5)};
};

/// What may end a call before the client's own timeout.
struct CallLimits {
  std::optional<SteadyTime> deadline = std::nullopt;
  /// Ends what is under way in place of Client::Stop, which is looked at between two requests still.
  StopSignal* stop = nullptr;
};

/// What a Client has done since it was made.
struct ClientCounters {
  std::atomic<uint64_t> requests{0};  ///< sent, watches and repeated ones included
  std::atomic<uint64_t> retries{0};
  std::atomic<uint64_t> throttled{0};  ///< answered 429
  std::atomic<uint64_t> failures{0};   ///< calls that ended in an error, but for NOT_FOUND
};

/// The API of Kubernetes for objects of any kind.
///
///   ASSIGN_OR_RETURN(auto access, LoadKubeconfigs({path}, ""));
///   ASSIGN_OR_RETURN(auto transport, MakeHttpTransport(access, clock));
///   Client client(*transport, clock, {});
///   ASSIGN_OR_RETURN(Object applied, client.Apply(deployments, object, {.field_manager = "leadsman"}));
///
/// Thread-safe; each call blocks up to options.timeout. What the server refuses without having done anything (429, and 503
/// with Retry-After) is asked again until then, no sooner than it says; so is a connection that fails, for reading and for
/// Apply, which may happen twice.
///
/// Get, Update, Apply, patches and Delete are of one object: an empty name, or namespace where the kind has one, is
/// INVALID_ARGUMENT and never the collection.
///
/// Errors are those of ApiFailure and of the transport, and begin with what was asked for: "get leases.coordination.k8s.io
/// \"leadsman\" in namespace \"default\"".
class Client {
 public:
  Client(Transport& transport, Clock& clock, ClientOptions options);

  Result<Object> Get(const Resource& resource, std::string_view ns, std::string_view name,
                     CallLimits limits = {});
  /// Page by page, all of them within options.list_timeout. When the server forgets the list in the middle, it is begun anew, once. With `retry_after` nothing is tried
  /// again: the caller does, not before that if the server says one.
  Result<ObjectList> List(const Resource& resource, const Selection& selection,
                          std::optional<std::chrono::seconds>* retry_after = nullptr,
                          CallLimits limits = {});
  /// Name, namespace and kind are the object's own; with generateName the server makes the name.
  Result<Object> Create(const Resource& resource, const Object& object,
                        std::string_view field_manager, CallLimits limits = {});
  /// Of what was read before: ABORTED when somebody has written it since. INVALID_ARGUMENT without a resource version.
  Result<Object> Update(const Resource& resource, const Object& object,
                        std::string_view field_manager, std::string_view subresource = {},
                        CallLimits limits = {});
  /// Server-side apply: the fields in `object` become so, others stay as they are; what is not there is made.
  Result<Object> Apply(const Resource& resource, const Object& object, const ApplyOptions& options);
  /// RFC 7386.
  Result<Object> MergePatch(const Resource& resource, std::string_view ns, std::string_view name,
                            const Json& patch, std::string_view field_manager,
                            std::string_view subresource = {});
  /// RFC 6902.
  Result<Object> JsonPatch(const Resource& resource, std::string_view ns, std::string_view name,
                           const Json& patch, std::string_view field_manager,
                           std::string_view subresource = {});
  /// NOT_FOUND when there is none. It may be there still afterwards, while finalizers keep it.
  Status Delete(const Resource& resource, std::string_view ns, std::string_view name,
                const DeleteOptions& options = {});

  /// Hands over what becomes of the objects, on this thread, until the server or silence ends the watch (OK), `take` returns an
  /// error (which is the result), or `stop` is told (CANCELLED). OUT_OF_RANGE: the resource version is too old, list again. Not
  /// tried again: whoever watches has to go on from the last event, not before `retry_after` if the server says one.
  Status Watch(const Resource& resource, const WatchOptions& options,
               const WatchDecoder::Take& take, const StopSignal& stop,
               std::optional<std::chrono::seconds>* retry_after = nullptr);

  /// Calls under way, and all to come, end with CANCELLED; not watches, which have a signal of their own.
  void Stop() { stop_.Stop(); }
  const ClientCounters& counters() const { return counters_; }
  const ClientOptions& options() const { return options_; }

 private:
  struct Call;
  Result<std::string> Perform(const Call& call);
  Result<Object> PerformObject(const Call& call);
  Result<Object> Patch(const Resource& resource, std::string_view ns, std::string_view name,
                       std::string_view subresource, std::string query, const char* content_type,
                       const Json& patch, bool repeatable);
  Status ListPages(const Resource& resource, const Selection& selection,
                   std::optional<std::chrono::seconds>* retry_after, CallLimits limits,
                   ObjectList& list);
  Status Failed(Status status);

  Transport& transport_;
  Clock& clock_;
  const ClientOptions options_;
  ClientCounters counters_;
  StopSignal stop_;
};

}  // namespace leadsman::kube
