// The room kube by a line of JSON for each call: {"do": "get", "resource": {…}, "ns": "a", "name": "b"} → {"object": {…}} or
// {"code": "NOT_FOUND", "message": "…"}. tests/integration/kube_probe.py drives it.
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "kube/client.h"
#include "kube/cluster_access.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "kube/leader_election.h"
#include "kube/transport.h"

namespace leadsman::kube {
namespace {

using std::chrono::milliseconds;

Resource ResourceOf(const Json& call) {
  const Json& r = call.at("resource");
  return {r.value("group", ""), r.value("version", "v1"), r.at("plural"), r.at("kind"),
          r.value("namespaced", true)};
}

std::string IdOf(const Json& call) { return call.at("id").get<std::string>(); }

double SteadySeconds() { return ToSeconds(SystemClock().SteadyNow().time_since_epoch()); }

/// A participant, and since when and until when it has led.
struct Candidate {
  Mutex mutex;
  Json terms GUARDED_BY(mutex) = Json::array();
  std::unique_ptr<Client> client;
  std::unique_ptr<LeaderElector> elector;
};

class Probe {
 public:
  Json Answer(const Json& call) {
    auto result = Do(call);
    if (result.ok()) return *result;
    return {{"code", StatusCodeName(result.status().code())},
            {"message", result.status().message()}};
  }

 private:
  Result<Json> Do(const Json& call) {
    const std::string what = call.at("do");
    if (what == "connect") return Connect(call);
    if (client_ == nullptr) return FailedPreconditionError("connect first");
    if (what == "informer") return StartInformer(call);
    if (what == "informer_state") return InformerState(*informers_.at(IdOf(call)));
    if (what == "elect") return Elect(call);
    if (what == "election_state") return ElectionState(*candidates_.at(IdOf(call)));
    if (what == "resign") return Resign(call);
    if (what == "event") return RecordEvent(call);
    if (what == "requests") return Json{{"requests", client_->counters().requests.load()}};
    if (what == "list") return List(call);
    if (what == "watch") return Watch(call);
    if (what == "delete") return Delete(call);
    ASSIGN_OR_RETURN(const Object object, OneObject(what, call));
    return Json{{"object", object.json()}};
  }

  Result<Json> Connect(const Json& call) {
    ClusterAccess access;
    if (call.contains("kubeconfig")) {
      ASSIGN_OR_RETURN(access, LoadKubeconfigs({call["kubeconfig"]}, call.value("context", "")));
    } else {
      const Json& pod = call.at("pod");
      ASSIGN_OR_RETURN(access, InClusterAccess({pod.at("host"), pod.at("port"), pod.at("folder")}));
    }
    ASSIGN_OR_RETURN(transport_, MakeHttpTransport(access, SystemClock()));
    client_ = std::make_unique<Client>(*transport_, SystemClock(),
                                       ClientOptions{.page = call.value("page", 500)});
    return Json{{"ns", access.ns}, {"server", access.server}};
  }

  Result<Object> OneObject(const std::string& what, const Json& call) {
    const Resource resource = ResourceOf(call);
    const std::string ns = call.value("ns", ""), name = call.value("name", ""),
                      manager = call.value("manager", "probe");
    const std::string subresource = call.value("subresource", "");
    const Object object(call.value("object", Json::object()));
    if (what == "get") return client_->Get(resource, ns, name);
    if (what == "create") return client_->Create(resource, object, manager);
    if (what == "update") return client_->Update(resource, object, manager, subresource);
    if (what == "apply")
      return client_->Apply(resource, object, {manager, call.value("force", false), subresource});
    if (what == "merge")
      return client_->MergePatch(resource, ns, name, call.at("patch"), manager, subresource);
    if (what == "json_patch")
      return client_->JsonPatch(resource, ns, name, call.at("patch"), manager, subresource);
    return InvalidArgumentError("unknown: " + what);
  }

  Result<Json> List(const Json& call) {
    ASSIGN_OR_RETURN(
        const ObjectList list,
        client_->List(ResourceOf(call),
                      {call.value("ns", ""), call.value("labels", ""), call.value("fields", "")}));
    Json names = Json::array();
    for (const Object& object : list.items) names.push_back(object.key());
    return Json{{"names", names}, {"resource_version", list.resource_version}};
  }

  Result<Json> Watch(const Json& call) {
    WatchOptions options{.selection = {.ns = call.value("ns", "")},
                         .resource_version = call.at("resource_version")};
    options.timeout = std::chrono::seconds(call.value("seconds", 1));
    Json events = Json::array();
    StopSignal stop;
    RETURN_IF_ERROR(client_->Watch(
        ResourceOf(call), options,
        [&](WatchEvent event) {
          events.push_back({int(event.type), event.object.key()});
          return OkStatus();
        },
        stop));
    return Json{{"events", events}};
  }

  Result<Json> Delete(const Json& call) {
    RETURN_IF_ERROR(client_->Delete(ResourceOf(call), call.value("ns", ""), call.value("name", ""),
                                    {.uid = call.value("uid", "")}));
    return Json::object();
  }

  Result<Json> StartInformer(const Json& call) {
    InformerOptions options{
        .selection = {.ns = call.value("ns", ""), .label_selector = call.value("labels", "")}};
    options.watch = std::chrono::seconds(call.value("watch_seconds", 300));
    ASSIGN_OR_RETURN(informers_[IdOf(call)], Informer::Start(*client_, ResourceOf(call), options,
                                                             [](const ObjectChange&) {}));
    return Json::object();
  }

  static Result<Json> InformerState(const Informer& informer) {
    Json names = Json::array();
    for (const Object& object : informer.All()) names.push_back(object.key());
    return Json{{"synced", informer.synced()},
                {"names", names},
                {"problem", informer.problem().ToString()},
                {"lists", informer.counters().lists.load()},
                {"watches", informer.counters().watches.load()},
                {"expired", informer.counters().expired.load()}};
  }

  Result<Json> Elect(const Json& call) {
    auto candidate = std::make_unique<Candidate>();
    Candidate* raw = candidate.get();
    ElectionOptions options{
        .ns = call.at("ns"), .name = call.at("name"), .identity = call.at("identity")};
    options.lease = milliseconds(call.at("lease_ms"));
    options.renew = milliseconds(call.at("renew_ms"));
    options.retry = milliseconds(call.at("retry_ms"));
    raw->client = std::make_unique<Client>(
        *transport_, SystemClock(), ClientOptions{.timeout = milliseconds(call.at("timeout_ms"))});
    const auto started = [raw] {
      MutexLock lock(raw->mutex);
      raw->terms.push_back({SteadySeconds(), nullptr});
    };
    const auto stopped = [raw] {
      MutexLock lock(raw->mutex);
      raw->terms.back()[1] = SteadySeconds();
    };
    ASSIGN_OR_RETURN(raw->elector, LeaderElector::Start(*raw->client, options, SystemClock(),
                                                        {started, stopped}));
    candidates_[IdOf(call)] = std::move(candidate);
    return Json::object();
  }

  static Result<Json> ElectionState(Candidate& candidate) {
    MutexLock lock(candidate.mutex);
    return Json{{"leading", candidate.elector != nullptr && candidate.elector->leading()},
                {"terms", candidate.terms}};
  }

  Result<Json> Resign(const Json& call) {
    Candidate& candidate = *candidates_.at(IdOf(call));
    candidate.elector.reset();
    return ElectionState(candidate);
  }

  Result<Json> RecordEvent(const Json& call) {
    if (recorder_ == nullptr) {
      ASSIGN_OR_RETURN(recorder_,
                       EventRecorder::Start(
                           *client_, {.controller = "leadsman.dev/probe", .instance = "probe-1"},
                           SystemClock()));
    }
    recorder_->Record({Object(call.at("about")), call.value("warning", false), call.at("reason"),
                       call.at("action"), call.at("note")});
    return Json{{"flushed", recorder_->Flush(milliseconds(20'000))},
                {"written", recorder_->written()},
                {"dropped", recorder_->dropped()}};
  }

  // What is later uses what is earlier.
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<EventRecorder> recorder_;
  std::map<std::string, std::unique_ptr<Informer>> informers_;
  std::map<std::string, std::unique_ptr<Candidate>> candidates_;
};

}  // namespace
}  // namespace leadsman::kube

int main() {
  leadsman::kube::Probe probe;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << probe.Answer(leadsman::kube::Json::parse(line)).dump() << std::endl;
  }
}
