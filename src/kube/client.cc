#include "kube/client.h"

#include <algorithm>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "kube/api_failure.h"

namespace leadsman::kube {
namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxBody = 3 << 20;  // the API server takes no more

/// "get pods \"web\" in namespace \"shop\"".
std::string Doing(std::string_view verb, const Resource& resource, std::string_view ns,
                  std::string_view name, std::string_view subresource = {}) {
  std::string text = StrCat(verb, " ", resource.Name());
  if (!subresource.empty()) text += StrCat("/", subresource);
  if (!name.empty()) text += StrCat(" \"", name, "\"");
  if (!resource.namespaced) return text;
  return text +=
         ns.empty() ? std::string(" in all namespaces") : StrCat(" in namespace \"", ns, "\"");
}

void AddParameter(std::string& query, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  query += StrCat(query.empty() ? "?" : "&", name, "=", UrlEncode(value));
}

std::string QueryOf(const Selection& selection) {
  std::string query;
  AddParameter(query, "labelSelector", selection.label_selector);
  AddParameter(query, "fieldSelector", selection.field_selector);
  return query;
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// What is asked of one object must not become what is asked of all of them: without a name the path is the collection's.
Status CheckNamesOne(const std::string& doing, const Resource& resource, std::string_view ns,
                     std::string_view name) {
  const auto check = [&](std::string_view field, std::string_view value) -> Status {
    if (value.empty())
      return InvalidArgumentError(StrCat(doing, ": ", field, " must not be empty"));
    if (value != "." && value != "..") return OkStatus();
    return InvalidArgumentError(StrCat(doing, ": ", field, " must not be \"", value, "\""));
  };
  RETURN_IF_ERROR(check("metadata.name", name));
  return resource.namespaced ? check("metadata.namespace", ns) : OkStatus();
}

/// What a list's items are, as each would say of itself.
void AddKind(Json& item, const Resource& resource) {
  item["apiVersion"] = resource.ApiVersion();
  item["kind"] = resource.kind;
}

}  // namespace

struct Client::Call {
  std::string doing;
  std::string method = "GET";
  std::string target;
  std::string content_type;
  std::string body;
  bool repeatable = false;  ///< a connection that fails in the middle does no harm
  CallLimits limits;
  std::optional<std::chrono::seconds>* retry_after = nullptr;  ///< once only; the caller's
};

Client::Client(Transport& transport, Clock& clock, ClientOptions options)
    : transport_(transport), clock_(clock), options_(options) {}

Status Client::Failed(Status status) {
  if (status.code() != StatusCode::kNotFound && status.code() != StatusCode::kCancelled)
    ++counters_.failures;
  return status;
}

Result<std::string> Client::Perform(const Call& call) {
  if (call.body.size() > kMaxBody) {
    return Failed(InvalidArgumentError(StrCat(call.doing, ": the object has ", call.body.size(),
                                              " bytes, more than the ", kMaxBody,
                                              " that the API server takes")));
  }
  SteadyTime deadline = clock_.SteadyNow() + options_.timeout;
  if (call.limits.deadline) deadline = std::min(deadline, *call.limits.deadline);
  StopSignal& stop = call.limits.stop != nullptr ? *call.limits.stop : stop_;
  Backoff backoff(options_.backoff, RandomSeed());
  ApiRequest request{.method = call.method,
                     .target = call.target,
                     .content_type = call.content_type,
                     .body = call.body};
  request.max_bytes = options_.max_answer_bytes;
  request.cancelled = stop.flag();
  for (bool first = true;; first = false) {
    if (stop_.stopped() || stop.stopped())
      return CancelledError(StrCat(call.doing, ": the client has stopped"));
    const auto left = std::chrono::ceil<milliseconds>(deadline - clock_.SteadyNow());
    if (left <= left.zero())
      return Failed(DeadlineExceededError(StrCat(call.doing, ": no time is left for it")));
    request.timeout = left;
    ++counters_.requests;
    if (!first) ++counters_.retries;
    auto answer = transport_.Send(request);
    Status problem;
    std::optional<std::chrono::seconds> asked;
    bool again = false;
    if (answer.ok()) {
      if (answer->status >= 200 && answer->status < 300) return std::move(answer->body);
      const ApiFailure failure = ParseFailure(answer->status, answer->retry_after, answer->body);
      if (answer->status == 429) ++counters_.throttled;
      asked = failure.retry_after;
      again = answer->status == 429 || ((call.repeatable || asked) && answer->status == 503) ||
              (call.repeatable && (answer->status == 502 || answer->status == 504));
      problem = failure.ToStatus(call.doing);
    } else {
      again = call.repeatable && answer.status().code() == StatusCode::kUnavailable;
      problem = Annotate(answer.status(), call.doing);
    }
    if (call.retry_after != nullptr) *call.retry_after = asked;
    if (!again || call.retry_after != nullptr) return Failed(std::move(problem));
    const Duration wait = backoff.Next(asked);
    if (clock_.SteadyNow() + wait >= deadline) return Failed(std::move(problem));
    (void)stop.WaitFor(wait);
  }
}

Result<Object> Client::PerformObject(const Call& call) {
  ASSIGN_OR_RETURN(const std::string body, Perform(call));
  auto object = Object::Parse(body);
  if (!object.ok()) {
    return Failed(UnavailableError(
        StrCat(call.doing, ": the answer is no object of the API: ", object.status().message())));
  }
  return object;
}

Result<Object> Client::Get(const Resource& resource, std::string_view ns, std::string_view name,
                           CallLimits limits) {
  std::string doing = Doing("get", resource, ns, name);
  RETURN_IF_ERROR(CheckNamesOne(doing, resource, ns, name));
  return PerformObject({.doing = std::move(doing),
                        .target = resource.Path(ns, name),
                        .repeatable = true,
                        .limits = limits});
}

Result<ObjectList> Client::List(const Resource& resource, const Selection& selection,
                                std::optional<std::chrono::seconds>* retry_after,
                                CallLimits limits) {
  const SteadyTime last = clock_.SteadyNow() + options_.list_timeout;
  limits.deadline = std::min(limits.deadline.value_or(last), last);
  for (bool first = true;; first = false) {
    ObjectList list;
    const Status status = ListPages(resource, selection, retry_after, limits, list);
    if (status.ok()) return list;
    if (status.code() != StatusCode::kOutOfRange || !first) return status;
  }
}

Status Client::ListPages(const Resource& resource, const Selection& selection,
                         std::optional<std::chrono::seconds>* retry_after, CallLimits limits,
                         ObjectList& list) {
  const std::string doing = Doing("list", resource, selection.ns, {});
  std::string next;
  std::set<std::string> pages;  // each by the token that leads to it
  do {
    if (!pages.insert(next).second)
      return Failed(UnavailableError(StrCat(doing, ": the server leads back to the same page")));
    if (pages.size() > options_.max_pages) {
      return Failed(ResourceExhaustedError(StrCat(
          doing, ": there are more than ", options_.max_pages, " pages; narrow the selection")));
    }
    std::string query = QueryOf(selection);
    AddParameter(query, "limit", StrCat(options_.page));
    AddParameter(query, "continue", next);
    ASSIGN_OR_RETURN(const std::string body, Perform({.doing = doing,
                                                      .target = resource.Path(selection.ns) + query,
                                                      .repeatable = true,
                                                      .limits = limits,
                                                      .retry_after = retry_after}));
    auto page = ParseJsonText(body);
    if (!page.ok() || !page->is_object() || !page->contains("items") ||
        !((*page)["items"].is_array() || (*page)["items"].is_null())) {
      return Failed(UnavailableError(StrCat(doing, ": the answer is no list of the API")));
    }
    for (Json& item : (*page)["items"]) {
      if (!item.is_object())
        return Failed(UnavailableError(StrCat(doing, ": an item of the list is no object")));
      if (list.items.size() == options_.max_objects) {
        return Failed(
            ResourceExhaustedError(StrCat(doing, ": there are more than ", options_.max_objects,
                                          " objects; narrow the selection")));
      }
      AddKind(item, resource);
      list.items.emplace_back(std::move(item));
    }
    page->erase("items");
    const Object head(std::move(*page));
    list.resource_version = head.resource_version();
    next = head.Text("/metadata/continue");
  } while (!next.empty());
  return OkStatus();
}

Result<Object> Client::Create(const Resource& resource, const Object& object,
                              std::string_view field_manager, CallLimits limits) {
  std::string query;
  AddParameter(query, "fieldManager", field_manager);
  return PerformObject({.doing = Doing("create", resource, object.ns(), object.name()),
                        .method = "POST",
                        .target = resource.Path(object.ns()) + query,
                        .content_type = "application/json",
                        .body = Dump(object.json()),
                        .limits = limits});
}

Result<Object> Client::Update(const Resource& resource, const Object& object,
                              std::string_view field_manager, std::string_view subresource,
                              CallLimits limits) {
  std::string doing = Doing("update", resource, object.ns(), object.name(), subresource);
  RETURN_IF_ERROR(CheckNamesOne(doing, resource, object.ns(), object.name()));
  if (object.resource_version().empty()) {
    return InvalidArgumentError(StrCat(
        doing, ": metadata.resourceVersion must not be empty; update what was read, or apply"));
  }
  std::string query;
  AddParameter(query, "fieldManager", field_manager);
  return PerformObject({.doing = std::move(doing),
                        .method = "PUT",
                        .target = resource.Path(object.ns(), object.name(), subresource) + query,
                        .content_type = "application/json",
                        .body = Dump(object.json()),
                        .limits = limits});
}

Result<Object> Client::Patch(const Resource& resource, std::string_view ns, std::string_view name,
                             std::string_view subresource, std::string query,
                             const char* content_type, const Json& patch, bool repeatable) {
  std::string doing = Doing("patch", resource, ns, name, subresource);
  RETURN_IF_ERROR(CheckNamesOne(doing, resource, ns, name));
  return PerformObject({.doing = std::move(doing),
                        .method = "PATCH",
                        .target = resource.Path(ns, name, subresource) + query,
                        .content_type = content_type,
                        .body = Dump(patch),
                        .repeatable = repeatable});
}

Result<Object> Client::Apply(const Resource& resource, const Object& object,
                             const ApplyOptions& options) {
  std::string query;
  AddParameter(query, "fieldManager", options.field_manager);
  if (options.force) AddParameter(query, "force", "true");
  // JSON is YAML, which is what the API server takes here.
  return Patch(resource, object.ns(), object.name(), options.subresource, std::move(query),
               "application/apply-patch+yaml", object.json(), true);
}

Result<Object> Client::MergePatch(const Resource& resource, std::string_view ns,
                                  std::string_view name, const Json& patch,
                                  std::string_view field_manager, std::string_view subresource) {
  std::string query;
  AddParameter(query, "fieldManager", field_manager);
  return Patch(resource, ns, name, subresource, std::move(query), "application/merge-patch+json",
               patch, false);
}

Result<Object> Client::JsonPatch(const Resource& resource, std::string_view ns,
                                 std::string_view name, const Json& patch,
                                 std::string_view field_manager, std::string_view subresource) {
  std::string query;
  AddParameter(query, "fieldManager", field_manager);
  return Patch(resource, ns, name, subresource, std::move(query), "application/json-patch+json",
               patch, false);
}

Status Client::Delete(const Resource& resource, std::string_view ns, std::string_view name,
                      const DeleteOptions& options) {
  std::string doing = Doing("delete", resource, ns, name);
  RETURN_IF_ERROR(CheckNamesOne(doing, resource, ns, name));
  Json body = {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
  if (!options.propagation.empty()) body["propagationPolicy"] = options.propagation;
  if (!options.uid.empty()) body["preconditions"]["uid"] = options.uid;
  if (!options.resource_version.empty())
    body["preconditions"]["resourceVersion"] = options.resource_version;
  return Perform({.doing = std::move(doing),
                  .method = "DELETE",
                  .target = resource.Path(ns, name),
                  .content_type = "application/json",
                  .body = Dump(body)})
      .status();
}

Status Client::Watch(const Resource& resource, const WatchOptions& options,
                     const WatchDecoder::Take& take, const StopSignal& stop,
                     std::optional<std::chrono::seconds>* retry_after) {
  const std::string doing = Doing("watch", resource, options.selection.ns, {});
  if (options.resource_version.empty())
    return InvalidArgumentError(StrCat(doing, ": no resource version to begin at"));
  std::string query = QueryOf(options.selection);
  AddParameter(query, "watch", "true");
  AddParameter(query, "allowWatchBookmarks", "true");
  AddParameter(query, "resourceVersion", options.resource_version);
  AddParameter(query, "timeoutSeconds", StrCat(options.timeout.count()));
  ApiRequest request{.target = resource.Path(options.selection.ns) + query};
  // The server ends it; that it does not is told some time later.
  request.timeout = options.timeout + std::chrono::seconds(30);
  request.idle_timeout = options.idle_timeout;
  request.cancelled = stop.flag();
  ++counters_.requests;
  WatchDecoder decoder(options_.max_event_bytes);
  bool began = false;
  bool taken = true;
  auto answer = transport_.Stream(request, [&](std::string_view bytes) {
    if (!began && options.began) options.began();
    began = true;
    return decoder.Feed(bytes, [&](WatchEvent event) {
      Status status = take(std::move(event));
      taken = status.ok();
      return status;
    });
  });
  if (answer.status().code() == StatusCode::kDeadlineExceeded && began && taken) return OkStatus();
  if (!answer.ok()) return taken ? Failed(Annotate(answer.status(), doing)) : answer.status();
  if (answer->status >= 200 && answer->status < 300) return OkStatus();
  if (answer->status == 429) ++counters_.throttled;
  const ApiFailure failure = ParseFailure(answer->status, answer->retry_after, answer->body);
  if (retry_after != nullptr) *retry_after = failure.retry_after;
  return Failed(failure.ToStatus(doing));
}

}  // namespace leadsman::kube
