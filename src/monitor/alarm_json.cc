#include "monitor/alarm_json.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Json Time(WallTime time) { return time == WallTime{} ? Json(nullptr) : Json(FormatRfc3339(time)); }
Json Number(int64_t value) { return value == 0 ? Json(nullptr) : Json(value); }

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

WallTime TimeOf(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (value.is_null()) return {};
  auto time = ParseRfc3339(value.get<std::string>());
  if (!time) throw std::runtime_error(StrCat(key, " is no time"));
  return *time;
}
int64_t NumberOf(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? 0 : value.get<int64_t>();
}
double DoubleOf(const Json& json, const char* key) {
  const Json& value = json.at(key);
  return value.is_null() ? 0 : value.get<double>();
}
std::string TextOf(const Json& json, const char* key) { return json.at(key).get<std::string>(); }
/// As PairsJson writes them.
std::vector<std::pair<std::string, std::string>> PairsOf(const Json& json, const char* key) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Json& pair : json.at(key))
    pairs.emplace_back(TextOf(pair, "name"), TextOf(pair, "value"));
  return pairs;
}

template <typename E>
E WordOf(const Json& json, const char* key, size_t count, std::string_view (*name)(E)) {
  const std::string word = TextOf(json, key);
  for (size_t i = 0; i < count; ++i) {
    if (name(static_cast<E>(i)) == word) return static_cast<E>(i);
  }
  throw std::runtime_error(StrCat(key, ": there is no ", word));
}

/// A library that throws ends here.
template <typename T>
Result<T> Parse(std::string_view text, const char* what, T (*read)(const Json&)) {
  try {
    return read(Json::parse(text));
  } catch (const std::exception& e) {
    return DataLossError(StrCat(what, " cannot be read: ", e.what()));
  }
}

Alarm ReadAlarm(const Json& json) {
  Alarm alarm;
  Finding& f = alarm.finding;
  alarm.id = NumberOf(json, "id");
  alarm.state = WordOf<AlarmState>(json, "state", 4, AlarmStateName);
  f.subject.kind = WordOf<AlarmKind>(json, "kind", kAlarmKindCount, AlarmKindName);
  f.severity = WordOf<AlarmSeverity>(json, "severity", 3, AlarmSeverityName);
  f.subject.model = TextOf(json, "model");
  f.subject.version = NumberOf(json, "version");
  f.subject.of = TextOf(json, "of");
  alarm.pending_since = TimeOf(json, "pending_since");
  alarm.fired = TimeOf(json, "fired");
  alarm.resolved = TimeOf(json, "resolved");
  alarm.firings = json.at("firings").get<uint64_t>();
  alarm.notified = json.at("notified").get<bool>();
  alarm.notified_severity = f.severity;
  if (json.contains("notified_severity") && !json.at("notified_severity").is_null()) {
    alarm.notified_severity =
        WordOf<AlarmSeverity>(json, "notified_severity", 3, AlarmSeverityName);
  }
  alarm.silence = NumberOf(json, "silence");
  f.wrong = true;
  f.summary = TextOf(json, "summary");
  f.evidence = DoubleOf(json, "evidence");
  f.threshold = DoubleOf(json, "threshold");
  f.budget_spent = DoubleOf(json, "budget_spent");
  f.guaranteed = json.at("guaranteed").get<bool>();
  f.samples = json.at("samples").get<uint64_t>();
  f.reference_samples = json.at("reference_samples").get<uint64_t>();
  f.details = PairsOf(json, "details");
  return alarm;
}

News ReadNews(const Json& json) {
  News news;
  news.event = TextOf(json, "event");
  news.headline = TextOf(json, "headline");
  news.summary = TextOf(json, "summary");
  news.severity = WordOf<AlarmSeverity>(json, "severity", 3, AlarmSeverityName);
  news.model = TextOf(json, "model");
  news.version = NumberOf(json, "version");
  news.thread = TextOf(json, "thread");
  news.about = TextOf(json, "about");
  news.json = TextOf(json, "json");
  news.details = PairsOf(json, "details");
  news.labels = PairsOf(json, "labels");
  return news;
}

Json PairsJson(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json json = Json::array();
  for (const auto& [name, value] : pairs) json.push_back({{"name", name}, {"value", value}});
  return json;
}

Json NewsJson(const News& news) {
  return {{"event", news.event},
          {"headline", news.headline},
          {"summary", news.summary},
          {"severity", AlarmSeverityName(news.severity)},
          {"model", news.model},
          {"version", Number(news.version)},
          {"thread", news.thread},
          {"about", news.about},
          {"json", news.json},
          {"details", PairsJson(news.details)},
          {"labels", PairsJson(news.labels)}};
}

AlarmNotice ReadNotice(const Json& json) {
  AlarmNotice notice;
  notice.delivery = TextOf(json, "delivery");
  if (json.contains("news")) {
    notice.at = TimeOf(json, "at");
    notice.news = ReadNews(json.at("news"));
    return notice;
  }
  notice.to = WordOf<AlarmState>(json, "to", 4, AlarmStateName);
  notice.at = TimeOf(json, "at");
  notice.alarm = ReadAlarm(json.at("alarm"));
  return notice;
}

Silence ReadSilence(const Json& json) {
  Silence silence;
  silence.id = NumberOf(json, "id");
  silence.kind = TextOf(json, "kind");
  silence.model = TextOf(json, "model");
  silence.version = NumberOf(json, "version");
  silence.of = TextOf(json, "of");
  silence.created = TimeOf(json, "created");
  silence.until = TimeOf(json, "until");
  silence.author = TextOf(json, "author");
  silence.comment = TextOf(json, "comment");
  return silence;
}

}  // namespace

std::string AlarmJson(const Alarm& alarm) {
  const Finding& f = alarm.finding;
  Json details = Json::array();
  for (const auto& [name, value] : f.details) details.push_back({{"name", name}, {"value", value}});
  return Dump({{"id", alarm.id},
               {"state", AlarmStateName(alarm.state)},
               {"kind", AlarmKindName(f.subject.kind)},
               {"severity", AlarmSeverityName(f.severity)},
               {"model", f.subject.model},
               {"version", Number(f.subject.version)},
               {"of", f.subject.of},
               {"summary", f.summary},
               {"pending_since", Time(alarm.pending_since)},
               {"fired", Time(alarm.fired)},
               {"resolved", Time(alarm.resolved)},
               {"firings", alarm.firings},
               {"notified", alarm.notified},
               {"notified_severity",
                alarm.notified ? Json(AlarmSeverityName(alarm.notified_severity)) : Json(nullptr)},
               {"silence", Number(alarm.silence)},
               {"evidence", f.evidence},
               {"threshold", f.threshold},
               {"budget_spent", f.budget_spent},
               {"guaranteed", f.guaranteed},
               {"samples", f.samples},
               {"reference_samples", f.reference_samples},
               {"details", std::move(details)}});
}

std::string NoticeJson(const AlarmNotice& notice) {
  if (notice.news) {
    return Dump(
        {{"delivery", notice.delivery}, {"at", Time(notice.at)}, {"news", NewsJson(*notice.news)}});
  }
  std::string json = "{\"delivery\":";
  AppendJsonString(json, notice.delivery);
  return json += StrCat(",\"to\":\"", AlarmStateName(notice.to), "\",\"at\":\"",
                        FormatRfc3339(notice.at), "\",\"alarm\":", AlarmJson(notice.alarm), "}");
}

std::string SilenceJson(const Silence& silence) {
  return Dump({{"id", silence.id},
               {"kind", silence.kind},
               {"model", silence.model},
               {"version", Number(silence.version)},
               {"of", silence.of},
               {"created", Time(silence.created)},
               {"until", Time(silence.until)},
               {"author", silence.author},
               {"comment", silence.comment}});
}

Result<Alarm> ParseAlarm(std::string_view json) { return Parse(json, "an alarm", ReadAlarm); }
Result<AlarmNotice> ParseNotice(std::string_view json) {
  return Parse(json, "an alarm's notice", ReadNotice);
}
Result<Silence> ParseSilence(std::string_view json) {
  return Parse(json, "a silence", ReadSilence);
}

}  // namespace leadsman
