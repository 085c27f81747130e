#include "app/alarms.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "console/json_views.h"
#include "monitor/accuracy_watch.h"
#include "monitor/burn_rate_watch.h"
#include "monitor/capture_loss_watch.h"
#include "monitor/finding.h"
#include "monitor/quality/quality_watch.h"
#include "monitor/schema/schema_watch.h"
#include "monitor/traffic_watch.h"
#include "storage/digest.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/mail_sender.h"
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

std::map<std::string, std::vector<QualityObjective>> QualityObjectivesOf(const Config& config) {
  std::map<std::string, std::vector<QualityObjective>> objectives;
  for (const auto& [name, monitoring] : MonitoringOf(config))
    objectives.emplace(name, monitoring.objectives.quality);
  return objectives;
}

constexpr size_t kMostOwed = 1000;

AlarmSeverity SeverityOf(RolloutEvent::Kind kind) {
  using Kind = RolloutEvent::Kind;
  switch (kind) {
    case Kind::kHeld:
    case Kind::kSampleRatio:
    case Kind::kWaiting:
    case Kind::kRolledBack:
      return AlarmSeverity::kTicket;
    case Kind::kStarted:
    case Kind::kStep:
    case Kind::kPaused:
    case Kind::kPromoted:
    case Kind::kAborted:
      break;
  }
  return AlarmSeverity::kInfo;
}

/// "SAMPLE RATIO: rollout 3 of digits, version 1 to 2"
std::string HeadlineOf(const RolloutEvent& event) {
  std::string word(RolloutEventName(event.kind));
  for (char& c : word) c = c == '_' ? ' ' : static_cast<char>(c & ~0x20);
  const RolloutView& rollout = event.rollout;
  return StrCat(word, ": rollout ", rollout.id, " of ", rollout.model, ", version ", rollout.stable,
                " to ", rollout.candidate);
}

News NewsOf(const RolloutEvent& event) {
  const RolloutView& rollout = event.rollout;
  News news;
  news.event = StrCat("rollout.", RolloutEventName(event.kind));
  news.headline = HeadlineOf(event);
  news.summary = rollout.reason;
  news.severity = SeverityOf(event.kind);
  news.model = rollout.model;
  news.version = rollout.candidate;
  news.thread = StrCat("rollout-", rollout.id, "-", UnixMillis(rollout.started));
  news.about = "rollout";
  news.json =
      console::RolloutJson(rollout).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  news.details = {{"step", StrCat(rollout.step + 1, " of ", rollout.step_count)},
                  {"share", StrCat(100 * rollout.share, " %")},
                  {"requests to the candidate",
                   StrCat(rollout.candidate_requests, ", errors ", rollout.candidate_errors)},
                  {"requests to the stable version",
                   StrCat(rollout.stable_requests, ", errors ", rollout.stable_errors)},
                  {"more", StrCat("leadsman rollout show ", rollout.id)}};
  news.labels = {{"rollout", std::to_string(rollout.id)},
                 {"step", std::to_string(rollout.step + 1)}};
  return news;
}

}  // namespace

AlarmBookOptions BookOptions(const AlarmOptions& options) {
  AlarmBookOptions book;
  book.SetThresholdFor(options.pending_for);
  book.keep_firing_for = options.keep_firing_for;
  return book;
}

Result<std::unique_ptr<Alarms>> Alarms::Create(Deps deps, const Config& config,
                                               const std::string& path) {
  std::unique_ptr<Alarms> alarms(new Alarms(std::move(deps), config));
  ASSIGN_OR_RETURN(alarms->store_, AlarmStore::Open(path));
  alarms->loop_ =
      std::make_unique<AlarmLoop>(AlarmLoop::Deps{alarms->deps_.clock, alarms->deps_.registry,
                                                  *alarms->store_, &alarms->deps_.monitor.counts()},
                                  BookOptions(alarms->config_.options));
  alarms->AddWatches(config);
  return alarms;
}

Alarms::~Alarms() { Stop(); }

template <typename T>
void Alarms::Add(std::unique_ptr<T> watch) {
  loop_->Keep(*watch);
  loop_->Add(std::move(watch));
}

void Alarms::AddWatches(const Config& config) {
  const Monitor& monitor = deps_.monitor;
  const WatchedTime& watched = loop_->watched();
  meter_ = std::make_unique<RequestMeter>([&monitor] { return ReadVersionCounts(monitor); });
  loop_->Keep(*meter_);
  const ObjectivesOf objectives = ObjectivesOfConfig(config);
  using Burn = BurnRateWatch;
  Add(std::make_unique<Burn>(Burn::Of::kErrors, *meter_, watched, objectives));
  Add(std::make_unique<Burn>(Burn::Of::kLatency, *meter_, watched, objectives));
  Add(std::make_unique<AccuracyWatch>(*meter_, watched, objectives));
  Add(std::make_unique<QualityWatch>(
      [&monitor](const std::string& model) { return monitor.EvidenceOf(model); }, watched,
      QualityObjectivesOf(config)));
  Add(std::make_unique<TrafficWatch>(*meter_, watched, objectives, deps_.expected));
  loop_->Add(deps_.monitor.MakeDriftWatch());
  Add(deps_.monitor.MakeSchemaWatch(watched));
  Add(std::make_unique<CaptureLossWatch>(
      [this] { return ReadCaptureCounts(deps_.monitor, deps_.ways); }, watched,
      CaptureLossWatch::Options{config_.options.capture_loss_ticket,
                                config_.options.capture_loss_page}));
}

template <typename Sender>
Status Alarms::AddSender(const std::string& name, Result<std::unique_ptr<Sender>> made) {
  if (!made.ok()) return Annotate(made.status(), StrCat("alarms.", name));
  sources_.emplace_back(name, [sender = made->get()] { return sender->counters(); });
  troubles_.emplace_back([sender = made->get()] { return sender->trouble(); });
  loop_->AddSender(**made);
  senders_.push_back(std::move(*made));
  return OkStatus();
}

/// Under a name that stays the same when others are added before it, and does not show what may be a secret.
AlarmOutbox::Box& Alarms::OpenBox(const std::string& kind, const std::string& address,
                                  AlarmOutbox::Takes takes) {
  Digest digest(Digest::Kind::kSha256);
  digest.Add(address);
  const std::string name = StrCat(kind, ":", digest.Hex().substr(0, 16));
  std::string free = name;
  for (int i = 2; !boxes_.insert(free).second; ++i) free = StrCat(name, "#", i);  // the same twice
  return loop_->outbox().Open(free, kMostOwed, takes);
}

Status Alarms::AddSenders(const std::string& url) {
  const std::string alarm_url = url + "/api/v1/alarms/";
  Clock& clock = deps_.clock;
  for (size_t i = 0; i < config_.alertmanagers.size(); ++i) {
    const std::string name = StrCat("alertmanagers[", i, "]");
    const AlertmanagerOptions& to = config_.alertmanagers[i];
    AlarmOutbox::Box& news = OpenBox("alertmanager", to.target.url, AlarmOutbox::Takes::kNews);
    RETURN_IF_ERROR(AddSender(name, AlertmanagerSender::Create(name, to, alarm_url, clock, &news)));
  }
  for (size_t i = 0; i < config_.webhooks.size(); ++i) {
    const WebhookOptions& to = config_.webhooks[i];
    const std::string name = StrCat("webhooks[", i, "]");
    const auto takes = to.rollouts ? AlarmOutbox::Takes::kAll : AlarmOutbox::Takes::kAlarms;
    AlarmOutbox::Box& box = OpenBox("webhook", to.target.url, takes);
    RETURN_IF_ERROR(AddSender(name, WebhookSender::Create(name, to, url, box, clock)));
  }
  for (size_t i = 0; i < config_.emails.size(); ++i) {
    const MailOptions& to = config_.emails[i];
    const std::string name = StrCat("emails[", i, "]");
    const std::string address = StrCat(to.smtp.server, " ", Join(to.to, ","));
    RETURN_IF_ERROR(
        AddSender(name, MailSender::Create(name, to, alarm_url, OpenBox("email", address), clock)));
  }
  for (auto& registration : AddSenderMetrics(sources_, deps_.registry))
    registrations_.push_back(std::move(registration));
  return OkStatus();
}

Status Alarms::Start(const std::string& admin_url) {
  RETURN_IF_ERROR(AddSenders(config_.external_url.empty() ? admin_url : config_.external_url));
  return Annotate(loop_->Start(config_.options.evaluation_interval), "look at the alarms");
}

void Alarms::Tell(const RolloutEvent& event) {
  const std::vector<RolloutEvent::Kind>& wanted = config_.rollout_events;
  if (std::find(wanted.begin(), wanted.end(), event.kind) == wanted.end()) return;
  loop_->Announce(NewsOf(event), event.id);
}

std::vector<std::string> Alarms::Notes() const {
  std::vector<std::string> notes;
  for (size_t i = 0; i < troubles_.size(); ++i) {
    const auto trouble = troubles_[i]();
    if (!trouble) continue;
    const uint64_t waiting = sources_[i].second().waiting;
    notes.push_back(StrCat("alarms.", sources_[i].first, " has taken nothing since ",
                           FormatRfc3339(trouble->since), ", ", waiting,
                           waiting == 1 ? " message waits: " : " messages wait: ", trouble->why));
  }
  if (const auto trouble = store_ ? store_->trouble() : std::nullopt)
    notes.push_back(StrCat("alarms and silences are not written since ",
                           FormatRfc3339(trouble->since), ": ", trouble->why));
  return notes;
}

void Alarms::Stop() {
  if (loop_) loop_->Stop();  // none when it could not be created
  for (const auto& sender : senders_) sender->BeginStop();
}

bool Alarms::EndWithin(std::chrono::milliseconds most) {
  Stop();
  registrations_.clear();  // they read the senders
  senders_.clear();
  return !store_ || store_->StopWithin(most);
}

}  // namespace leadsman
