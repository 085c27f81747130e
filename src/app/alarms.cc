#include "app/alarms.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "monitor/accuracy_watch.h"
#include "monitor/burn_rate_watch.h"
#include "monitor/capture_loss_watch.h"
#include "monitor/finding.h"
#include "monitor/traffic_watch.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/sender_metrics.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {
namespace {

/// Models that are not in the configuration are asked what the defaults ask.
ObjectivesOf ObjectivesOfConfig(const Config& config) {
  std::map<std::string, Objectives> objectives;
  for (const auto& [name, monitoring] : MonitoringOf(config))
    objectives.emplace(name, monitoring.objectives);
  return [objectives = std::move(objectives)](const std::string& model) {
    auto found = objectives.find(model);
    return found != objectives.end() ? found->second : Objectives();
  };
}

std::vector<CaptureCounts> ReadAllCaptureCounts(const Alarms::Deps& deps) {
  std::vector<CaptureCounts> counts = ReadCaptureCounts(deps.monitor.counters());
  if (!deps.logs) return counts;
  for (const intake::SourceView& view : deps.logs()) {
    const uint64_t lost = view.malformed + view.unrecognised + view.cut;
    counts.push_back({StrCat("log ", view.source), "lines",
                      "see `leadsman monitor --once` and GET /api/v1/logs for what is not read",
                      view.lines - std::min(lost, view.lines), lost});
  }
  return counts;
}

AlarmBookOptions BookOptions(const AlarmOptions& options) {
  AlarmBookOptions book;
  book.SetThresholdFor(options.pending_for);
  book.keep_firing_for = options.keep_firing_for;
  return book;
}

}  // namespace

Result<std::unique_ptr<Alarms>> Alarms::Create(Deps deps, const Config& config,
                                               const std::string& path) {
  std::unique_ptr<Alarms> alarms(new Alarms(std::move(deps), config));
  ASSIGN_OR_RETURN(alarms->store_, AlarmStore::Open(path));
  alarms->loop_ = std::make_unique<AlarmLoop>(
      AlarmLoop::Deps{alarms->deps_.clock, alarms->deps_.registry, *alarms->store_},
      BookOptions(alarms->config_.options));
  alarms->AddWatches(config);
  return alarms;
}

Alarms::~Alarms() { Stop(); }

void Alarms::AddWatches(const Config& config) {
  const Monitor& monitor = deps_.monitor;
  meter_ = std::make_unique<RequestMeter>([&monitor] { return ReadVersionCounts(monitor); });
  const ObjectivesOf objectives = ObjectivesOfConfig(config);
  loop_->Add(std::make_unique<BurnRateWatch>(BurnRateWatch::Of::kErrors, *meter_, objectives));
  loop_->Add(std::make_unique<BurnRateWatch>(BurnRateWatch::Of::kLatency, *meter_, objectives));
  loop_->Add(std::make_unique<AccuracyWatch>(*meter_, objectives));
  loop_->Add(std::make_unique<TrafficWatch>(*meter_, objectives, deps_.expected));
  loop_->Add(deps_.monitor.MakeDriftWatch());
  loop_->Add(std::make_unique<CaptureLossWatch>(
      [this] { return ReadAllCaptureCounts(deps_); },
      CaptureLossWatch::Options{config_.options.capture_loss_ticket,
                                config_.options.capture_loss_page}));
}

Status Alarms::AddSenders(const std::string& url) {
  std::vector<SenderSource> sources;
  for (size_t i = 0; i < config_.alertmanagers.size(); ++i) {
    const std::string name = StrCat("alertmanagers[", i, "]");
    auto made = AlertmanagerSender::Create(name, config_.alertmanagers[i], url + "/api/v1/alarms/",
                                           deps_.clock);
    if (!made.ok()) return Annotate(made.status(), StrCat("alarms.", name));
    sources.emplace_back(name, [sender = made->get()] { return sender->counters(); });
    senders_.push_back(std::move(*made));
  }
  for (size_t i = 0; i < config_.webhooks.size(); ++i) {
    const std::string name = StrCat("webhooks[", i, "]");
    auto made = WebhookSender::Create(name, config_.webhooks[i], url, deps_.clock);
    if (!made.ok()) return Annotate(made.status(), StrCat("alarms.", name));
    sources.emplace_back(name, [sender = made->get()] { return sender->counters(); });
    senders_.push_back(std::move(*made));
  }
  registrations_.push_back(AddSenderMetrics(std::move(sources), deps_.registry));
  for (const auto& sender : senders_) loop_->AddSender(*sender);
  return OkStatus();
}

Status Alarms::Start(const std::string& admin_url) {
  RETURN_IF_ERROR(AddSenders(config_.external_url.empty() ? admin_url : config_.external_url));
  loop_->Start(config_.options.evaluation_interval);
  return OkStatus();
}

void Alarms::Stop() {
  if (loop_) loop_->Stop();  // none when it could not be created
}

}  // namespace leadsman
