#include "monitor/alarm_book.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <optional>
#include <sstream>

#include "base/schema.h"
#include "base/strings.h"
#include "base/testing/script_file.h"
#include "monitor/alarm_json.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

// ---- scripts ----
//
// testdata/alarm_book*.script:
//   options for=60s keep=300s reopen=1h resolved=24h max=1000
//   10s: error_burn/m=page accuracy/m=well feature_drift/m:3:age=ticket    one look at that time
//   10s..70s/10s: …                                                        one every ten seconds
//   silence model=m until=100s          unsilence 1          restart (through the JSON of the store)
//   list                                what the book has
// A line of output for each transition; "notify" where people are told.

class Player {
 public:
  void Read(const std::string& line) {
    std::istringstream words(line);
    std::string verb, word;
    words >> verb;
    std::vector<std::string> rest;
    while (words >> word) rest.push_back(word);
    if (verb == "options") return Options(rest);
    if (verb == "silence") return AddSilence(rest);
    if (verb == "unsilence") {
      const Status removed = book().RemoveSilence(ParseInt64(rest.at(0)).value(), Wall(now_));
      if (!removed.ok()) out_ += StrCat(removed.ToString(), "\n");
      return;
    }
    if (verb == "restart") return Restart();
    if (verb == "list") return List();
    Looks(verb, rest);
  }

  std::string Answer() {
    std::string out = std::exchange(out_, "");
    book_.reset();
    options_ = AlarmBookOptions();
    now_ = {};
    numbers_.clear();
    return out;
  }

 private:
  static milliseconds Span(std::string_view text) {
    auto time = schema::ParseTime(text);
    EXPECT_TRUE(time) << text;
    return std::chrono::duration_cast<milliseconds>(*time);
  }
  static WallTime Wall(milliseconds at) { return FromUnixMillis(1'700'000'000'000 + at.count()); }
  SteadyTime Steady(milliseconds at) const { return SteadyTime(boot_ + at); }
  AlarmBook& book() {
    if (!book_) book_.emplace(options_);
    return *book_;
  }

  void Options(const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      const std::string key = word.substr(0, word.find('='));
      const std::string value = word.substr(key.size() + 1);
      if (key == "for") options_.SetThresholdFor(Span(value));
      if (key == "keep") options_.keep_firing_for = Span(value);
      if (key == "reopen") options_.reopen_within = Span(value);
      if (key == "resolved") options_.keep_resolved = Span(value);
      if (key == "max") options_.max_alarms = static_cast<size_t>(ParseInt64(value).value());
    }
  }

  void AddSilence(const std::vector<std::string>& words) {
    Silence silence;
    silence.author = "ann";
    silence.comment = "known";
    for (const std::string& word : words) {
      const std::string key = word.substr(0, word.find('='));
      const std::string value = word.substr(key.size() + 1);
      if (key == "kind") silence.kind = value;
      if (key == "model") silence.model = value;
      if (key == "version") silence.version = ParseInt64(value).value();
      if (key == "of") silence.of = value;
      if (key == "until") silence.until = Wall(Span(value));
      if (key == "comment") silence.comment = value;
    }
    auto added = book().AddSilence(silence, Wall(now_));
    out_ += added.ok() ? StrCat("silence ", added->id, "\n") : added.status().ToString() + "\n";
  }

  /// The steady clock of the next process begins elsewhere.
  void Restart() {
    std::vector<Alarm> alarms;
    for (const Alarm& alarm : book().Alarms()) {
      auto read = ParseAlarm(AlarmJson(alarm));
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(AlarmJson(*read), AlarmJson(alarm));
      alarms.push_back(*read);
    }
    std::vector<Silence> silences;
    for (const Silence& silence : book().Silences()) {
      auto read = ParseSilence(SilenceJson(silence));
      ASSERT_TRUE(read.ok()) << read.status();
      silences.push_back(*read);
    }
    book_.emplace(options_);
    boot_ += std::chrono::hours(1000);
    book_->Restore(alarms, silences, Wall(now_), Steady(now_));
  }

  void List() {
    for (const Alarm& alarm : book().Alarms()) {
      out_ += StrCat("#", Number(alarm.id), " ", Subject(alarm), " ", AlarmStateName(alarm.state),
                     " ", AlarmSeverityName(alarm.finding.severity), " firings=", alarm.firings);
      if (alarm.silence != 0) out_ += StrCat(" silence=", alarm.silence);
      out_ += "\n";
    }
    out_ += StrCat("watched=", book().watched(), " dropped=", book().dropped(),
                   " silences=", book().Silences().size(), "\n");
  }

  /// Ids are times: in the order of their alarms they are easier to read.
  size_t Number(int64_t id) { return numbers_.emplace(id, numbers_.size() + 1).first->second; }

  static std::string Subject(const Alarm& alarm) {
    const AlarmSubject& s = alarm.finding.subject;
    std::string text = StrCat(AlarmKindName(s.kind), "/", s.model);
    if (s.version != 0 || !s.of.empty()) text += StrCat(":", s.version, ":", s.of);
    return text;
  }

  static Finding Parse(const std::string& word) {
    Finding finding;
    const std::string kind = word.substr(0, word.find('/'));
    const std::string how = word.substr(word.find('=') + 1);
    const std::string subject = word.substr(kind.size() + 1, word.find('=') - kind.size() - 1);
    for (size_t i = 0; i < kAlarmKindCount; ++i) {
      if (AlarmKindName(static_cast<AlarmKind>(i)) == kind)
        finding.subject.kind = static_cast<AlarmKind>(i);
    }
    auto parts = Split(subject, ':');
    finding.subject.model = parts[0];
    if (parts.size() > 2) {
      finding.subject.version = ParseInt64(parts[1]).value();
      finding.subject.of = parts[2];
    }
    finding.unknown = how == "unknown";
    finding.wrong = how != "well" && !finding.unknown;
    finding.severity = how == "page"   ? AlarmSeverity::kPage
                       : how == "info" ? AlarmSeverity::kInfo
                                       : AlarmSeverity::kTicket;
    finding.details = {{"seen", how}};
    return finding;
  }

  void Looks(const std::string& when, const std::vector<std::string>& words) {
    const std::string span = when.substr(0, when.find(':'));
    milliseconds from{}, to{}, step{1};
    if (const size_t dots = span.find(".."); dots != span.npos) {
      const size_t slash = span.find('/');
      from = Span(span.substr(0, dots));
      to = Span(span.substr(dots + 2, slash - dots - 2));
      step = Span(span.substr(slash + 1));
    } else {
      from = to = Span(span);
    }
    std::vector<Finding> findings;
    for (const std::string& word : words) findings.push_back(Parse(word));
    for (now_ = from; now_ <= to; now_ += step) {
      for (const AlarmTransition& t : book().Step(findings, Wall(now_), Steady(now_))) {
        out_ +=
            StrCat(schema::FormatTime(now_), " #", Number(t.alarm.id), " ", Subject(t.alarm), " ",
                   AlarmStateName(t.from), " → ", AlarmStateName(t.to), " ",
                   AlarmSeverityName(t.alarm.finding.severity), t.notify ? " notify" : "", "\n");
      }
    }
    now_ = to;
  }

  AlarmBookOptions options_;
  std::optional<AlarmBook> book_;
  std::chrono::nanoseconds boot_{std::chrono::hours(5)};
  milliseconds now_{};
  std::map<int64_t, size_t> numbers_;
  std::string out_;
};

TEST(AlarmBookTest, PlaysItsScripts) {
  Player player;
  const int cases = PlayScript(
      SourceDir() + "/src/monitor/testdata/alarm_book.script",
      [&](const std::string& line) { player.Read(line); }, [&] { return player.Answer(); });
  EXPECT_GE(cases, 12);
}

TEST(AlarmJsonTest, NumbersThatAreNotFiniteAndBytesThatAreNoTextDoNoHarm) {
  Alarm alarm;
  alarm.id = 1;
  alarm.finding.evidence = std::numeric_limits<double>::infinity();
  alarm.finding.summary = "\xff";
  auto read = ParseAlarm(AlarmJson(alarm));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->finding.evidence, 0);
  EXPECT_EQ(read->finding.summary, "\xEF\xBF\xBD");
  EXPECT_EQ(ParseAlarm("{}").status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(ParseAlarm("[").status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace leadsman
