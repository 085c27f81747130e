#include "telemetry/alertmanager_alerts.h"

#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Few and bounded: what changes from look to look stands in the annotations.
Json Labels(const Alarm& alarm) {
  const AlarmSubject& s = alarm.finding.subject;
  Json labels = {{"alertname", AlertName(s.kind)},
                 {"severity", AlarmSeverityName(alarm.finding.severity)}};
  if (!s.model.empty()) labels["model"] = s.model;
  if (s.version != 0) labels["version"] = std::to_string(s.version);
  if (!s.of.empty()) labels["subject"] = s.of;
  return labels;
}

Json Annotations(const Alarm& alarm) {
  const Finding& f = alarm.finding;
  Json annotations = {{"summary", f.summary},
                      {"evidence", ShortNumber(f.evidence)},
                      {"threshold", ShortNumber(f.threshold)},
                      {"samples", std::to_string(f.samples)},
                      {"firings", std::to_string(alarm.firings)}};
  if (f.reference_samples > 0)
    annotations["reference_samples"] = std::to_string(f.reference_samples);
  if (f.budget_spent > 0) annotations["budget_spent"] = ShortNumber(f.budget_spent);
  if (f.guaranteed) annotations["guaranteed"] = "true";
  for (const auto& [name, value] : f.details) {
    annotations["details"] = StrCat(annotations.value("details", ""),
                                    annotations.contains("details") ? "\n" : "", name, ": ", value);
  }
  return annotations;
}

/// "error_burn": "ErrorBurn", "rollout.step": "RolloutStep".
std::string InCamelCase(std::string_view words) {
  std::string name;
  bool upper = true;
  for (char c : words) {
    if (c == '_' || c == '.') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(c & ~0x20) : c;
    upper = false;
  }
  return name;
}

}  // namespace

std::string AlertName(AlarmKind kind) { return InCamelCase(AlarmKindName(kind)); }

std::string NewsAlerts(const std::vector<std::shared_ptr<const AlarmNotice>>& notices,
                       WallTime now) {
  constexpr std::chrono::minutes kShown{5};
  Json body = Json::array();
  for (const auto& notice : notices) {
    const News& news = *notice->news;
    Json labels = {{"alertname", InCamelCase(news.event)},
                   {"severity", AlarmSeverityName(news.severity)}};
    if (!news.model.empty()) labels["model"] = news.model;
    if (news.version != 0) labels["version"] = std::to_string(news.version);
    for (const auto& [name, value] : news.labels) labels[name] = value;
    std::string details;
    for (const auto& [name, value] : news.details)
      details += StrCat(details.empty() ? "" : "\n", name, ": ", value);
    body.push_back({{"labels", std::move(labels)},
                    {"annotations",
                     {{"headline", news.headline},
                      {"summary", news.summary},
                      {"details", details},
                      {"delivery", notice->delivery}}},
                    {"startsAt", FormatRfc3339(notice->at)},
                    {"endsAt", FormatRfc3339(now + kShown)}});
  }
  return Dump(body);
}

bool AlertmanagerAlerts::Update(const std::vector<Alarm>& firing, WallTime wall, SteadyTime now) {
  bool changed = false;
  std::set<std::string> present;
  for (const Alarm& alarm : firing) {
    std::string labels = Dump(Labels(alarm));
    Alert& alert = alerts_[labels];
    if (alert.alarm.id == 0 || alert.ended) {
      alert = Alert();
      changed = true;
    }
    alert.alarm = alarm;
    present.insert(std::move(labels));
  }
  for (auto it = alerts_.begin(); it != alerts_.end();) {
    Alert& alert = it->second;
    if (!present.contains(it->first) && !alert.ended) {
      alert.ended = true;
      alert.delivered = false;
      alert.end = wall;
      alert.forget_after = now + kTellEnded;
      changed = true;
    }
    if (alert.ended && now > alert.forget_after) {
      missed_ += alert.delivered ? 0 : 1;
      it = alerts_.erase(it);
    } else {
      ++it;
    }
  }
  return changed;
}

std::string AlertmanagerAlerts::Body(WallTime wall) const {
  Json body = Json::array();
  for (const auto& [labels, alert] : alerts_) {
    Json json = {{"labels", Json::parse(labels)},
                 {"annotations", Annotations(alert.alarm)},
                 {"startsAt", FormatRfc3339(alert.alarm.fired)},
                 {"endsAt", FormatRfc3339(alert.ended ? alert.end : wall + lifetime_)}};
    if (!generator_.empty()) json["generatorURL"] = StrCat(generator_, alert.alarm.id);
    body.push_back(std::move(json));
  }
  return Dump(body);
}

void AlertmanagerAlerts::Delivered() {
  for (auto& [labels, alert] : alerts_) alert.delivered = true;
}

}  // namespace leadsman
