#include "kube/informer.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"

namespace leadsman::kube {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// After so many watches in a row that brought nothing, not even a bookmark, a list says what is.
constexpr int kMostBarren = 5;

/// A watch that ended so would end so again from the same resource version.
bool NeedsList(const Status& watched) {
  return watched.code() == StatusCode::kOutOfRange || watched.code() == StatusCode::kDataLoss ||
         watched.code() == StatusCode::kInvalidArgument;
}

}  // namespace

Informer::Informer(Client& client, Resource resource, InformerOptions options, Handler handler)
    : client_(client),
      resource_(std::move(resource)),
      options_(std::move(options)),
      handler_(std::move(handler)),
      resync_at_(SteadyClock::now() + options_.resync),
      backoff_(options_.backoff, RandomSeed()),
      rng_(RandomSeed()) {}

Result<std::unique_ptr<Informer>> Informer::Start(Client& client, Resource resource,
                                                  InformerOptions options, Handler handler) {
  std::unique_ptr<Informer> made(
      new Informer(client, std::move(resource), std::move(options), std::move(handler)));
  ASSIGN_OR_RETURN(made->thread_, StartThread(StrCat("kube ", made->resource_.plural),
                                              [raw = made.get()] { raw->Run(); }));
  return made;
}

Informer::~Informer() {
  stop_.Stop();
  if (thread_.joinable()) thread_.join();
}

bool Informer::WaitUntilSynced(std::chrono::milliseconds timeout) const {
  const auto until = SteadyClock::now() + timeout;
  MutexLock lock(mutex_);
  while (!synced_) {
    const auto left = until - SteadyClock::now();
    if (left <= left.zero()) return false;
    (void)changed_.WaitFor(mutex_, left);
  }
  return true;
}

Status Informer::problem() const {
  MutexLock lock(mutex_);
  return problem_;
}

void Informer::SetProblem(const Status& status) {
  bool news = false;
  {
    MutexLock lock(mutex_);
    news = !status.ok() && problem_.ok();
    problem_ = status;
  }
  if (news)
    LOG_WARN("the API server's objects cannot be followed, trying again",
             {"resource", resource_.Name()}, {"reason", status});
}

void Informer::Run() {
  while (!stop_.stopped()) {
    retry_after_.reset();
    const bool lists = resource_version_.empty();
    const Status status = lists ? ListOnce() : WatchOnce();
    if (stop_.stopped()) return;
    const bool barren = barren_ >= kMostBarren;
    if (!lists && (NeedsList(status) || barren)) resource_version_.clear();
    if (status.ok()) {
      // Only a watch shows that all is well: lists that lead to nothing come ever less often.
      if (!lists && !barren) backoff_.Reset();
      if (barren && stop_.WaitFor(backoff_.Next(std::nullopt))) return;
      continue;
    }
    if (!lists && status.code() == StatusCode::kOutOfRange) {
      ++counters_.expired;
    } else {
      ++counters_.failures;
      SetProblem(status);
    }
    if (stop_.WaitFor(backoff_.Next(retry_after_))) return;
  }
}

Status Informer::ListOnce() {
  ++counters_.lists;
  ASSIGN_OR_RETURN(ObjectList list,
                   client_.List(resource_, options_.selection, &retry_after_, {.stop = &stop_}));
  if (list.resource_version.empty()) {
    return UnavailableError(
        StrCat("list ", resource_.Name(), ": the list has no resource version"));
  }
  for (Object& object : list.items) object = Slim(std::move(object));
  for (const ObjectChange& change : store_.Replace(std::move(list.items))) handler_(change);
  resource_version_ = std::move(list.resource_version);
  barren_ = 0;
  SetProblem(OkStatus());
  MutexLock lock(mutex_);
  synced_ = true;
  changed_.NotifyAll();
  return OkStatus();
}

Status Informer::WatchOnce() {
  ++counters_.watches;
  WatchOptions options{.selection = options_.selection,
                       .resource_version = resource_version_,
                       .timeout = WatchTime(),
                       .began = [this] { SetProblem(OkStatus()); }};
  heard_ = false;
  Status status = client_.Watch(
      resource_, options, [this](WatchEvent event) { return Take(std::move(event)); }, stop_,
      &retry_after_);
  if (heard_) backoff_.Reset();
  const bool resyncs = options_.resync.count() > 0 && SteadyClock::now() >= resync_at_;
  CountBarren(status, resyncs);
  if (resyncs) Resync();
  // A server that ends each watch at once must not be asked without an end.
  if (status.ok() && !heard_ && stop_.WaitFor(options_.backoff.first))
    return CancelledError("stopped");
  return status;
}

/// A server that is away, or asks for patience, would not answer a list either; a resync has cut its watch short.
void Informer::CountBarren(const Status& watched, bool resyncs) {
  if (heard_) {
    barren_ = 0;
  } else if (watched.code() != StatusCode::kUnavailable && !retry_after_ && !resyncs) {
    ++barren_;
  }
}

Status Informer::Take(WatchEvent event) {
  if (stop_.stopped()) return CancelledError("stopped");
  heard_ = true;
  std::string version(event.object.resource_version());
  if (event.type != WatchEvent::Type::kBookmark) {
    if (!HasRoomFor(event)) {
      resource_version_.clear();  // a list says when there is room again
      return ResourceExhaustedError(StrCat("watch ", resource_.Name(), ": there are more than ",
                                           client_.options().max_objects,
                                           " objects; narrow the selection"));
    }
    ++counters_.events;
    event.object = Slim(std::move(event.object));
    if (auto change = store_.Take(event)) handler_(*change);
  }
  // Last: what a handler has not heard of is told again.
  if (!version.empty()) resource_version_ = std::move(version);
  return OkStatus();
}

bool Informer::HasRoomFor(const WatchEvent& event) const {
  return event.type == WatchEvent::Type::kDeleted ||
         store_.size() < client_.options().max_objects ||
         store_.Get(event.object.ns(), event.object.name()).has_value();
}

void Informer::Resync() {
  resync_at_ = SteadyClock::now() + options_.resync;
  for (Object& object : store_.All()) handler_({object, object});
}

Object Informer::Slim(Object object) const {
  if (options_.managed_fields || object.Find("/metadata/managedFields") == nullptr) return object;
  Json json = std::move(object).Take();
  json["metadata"].erase("managedFields");
  return Object(std::move(json));
}

std::chrono::seconds Informer::WatchTime() {
  const auto shortest = std::max<int64_t>(options_.watch.count(), 1);
  int64_t seconds = shortest + int64_t(rng_.Below(uint64_t(shortest)));
  if (options_.resync.count() > 0) {
    const auto left =
        std::chrono::ceil<std::chrono::seconds>(resync_at_ - SteadyClock::now()).count();
    seconds = std::clamp<int64_t>(left, 1, seconds);
  }
  return std::chrono::seconds(seconds);
}

}  // namespace leadsman::kube
