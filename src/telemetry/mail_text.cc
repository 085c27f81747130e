#include "telemetry/mail_text.h"

#include <algorithm>
#include <ctime>

#include "base/base64.h"
#include "base/strings.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

constexpr size_t kLine = 76;
/// Of one encoded word: 45 bytes are 60 letters of base64, and 12 stand around them.
constexpr size_t kWord = 45;
constexpr size_t kSubject = 200;

bool IsPrintable(char c) { return c >= ' ' && c <= '~'; }

/// "digits 3 age", "digits", "(server)"
std::string SubjectText(const AlarmSubject& s) {
  std::string text = s.model.empty() ? "(server)" : s.model;
  if (s.version != 0) text += StrCat(" ", s.version);
  if (!s.of.empty()) text += StrCat(" ", s.of);
  return text;
}

std::string Upper(std::string_view word) {
  std::string text(word);
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
  }
  return text;
}

/// "FIRING: error_burn of digits (page)"
std::string Headline(const AlarmNotice& notice) {
  if (notice.news) return notice.news->headline;
  const Finding& f = notice.alarm.finding;
  return StrCat(Upper(AlarmStateName(notice.to)), ": ", AlarmKindName(f.subject.kind), " of ",
                SubjectText(f.subject), " (", AlarmSeverityName(f.severity), ")");
}

using Notices = std::vector<std::shared_ptr<const AlarmNotice>>;

std::string SubjectOf(const Notices& notices) {
  if (notices.size() == 1) return StrCat("[Leadsman] ", Headline(*notices[0]));
  const auto is_news = [](const auto& notice) { return notice->news.has_value(); };
  if (std::any_of(notices.begin(), notices.end(), is_news))
    return StrCat("[Leadsman] ", notices.size(), " notices; first: ", Headline(*notices[0]));
  const auto firing =
      static_cast<size_t>(std::count_if(notices.begin(), notices.end(), [](const auto& notice) {
        return notice->to == AlarmState::kFiring;
      }));
  std::string text = "[Leadsman] ";
  if (firing > 0) text += StrCat(firing, firing == 1 ? " alarm fires" : " alarms fire");
  const size_t ended = notices.size() - firing;
  if (ended > 0)
    text += StrCat(firing > 0 ? ", " : "", ended, ended == 1 ? " has ended" : " have ended");
  return StrCat(text, "; first: ", Headline(*notices[0]));
}

/// "Tue, 14 Nov 2023 22:14:20 +0000"
std::string MailDate(WallTime time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = static_cast<std::time_t>(UnixMillis(time) / 1000);
  std::tm t{};
  gmtime_r(&seconds, &t);
  auto two = [](int n) { return StrCat(n < 10 ? "0" : "", n); };
  return StrCat(kDays[t.tm_wday], ", ", two(t.tm_mday), " ", kMonths[t.tm_mon], " ",
                t.tm_year + 1900, " ", two(t.tm_hour), ":", two(t.tm_min), ":", two(t.tm_sec),
                " +0000");
}

std::string NewsBody(const AlarmNotice& notice) {
  const News& news = *notice.news;
  std::string text = StrCat(news.headline, "\n", news.summary, "\n\n");
  for (const auto& [name, value] : news.details) text += StrCat(name, ": ", value, "\n");
  return text + StrCat("at: ", FormatRfc3339(notice.at), "\ndelivery ", notice.delivery, "\n");
}

std::string BodyOf(const AlarmNotice& notice, const std::string& generator) {
  if (notice.news) return NewsBody(notice);
  const Alarm& alarm = notice.alarm;
  const Finding& f = alarm.finding;
  const bool ended = notice.to == AlarmState::kResolved;
  std::string text = StrCat(Headline(notice), "\n", f.summary, "\n\n");
  text += StrCat("fired      ", FormatRfc3339(alarm.fired), "\n");
  if (ended) text += StrCat("ended      ", FormatRfc3339(alarm.resolved), "\n");
  if (alarm.firings > 1) text += StrCat("firings    ", alarm.firings, "\n");
  text += StrCat("evidence   ", ShortNumber(f.evidence), "\nthreshold  ", ShortNumber(f.threshold),
                 "\nsamples    ", f.samples, "\n");
  for (const auto& [name, value] : f.details) text += StrCat(name, ": ", value, "\n");
  if (!ended) text += StrCat("\nWhat to do: ", Advice(f.subject.kind), "\n");
  if (!generator.empty()) text += StrCat("\n", generator, alarm.id, "\n");
  return text + StrCat("delivery ", notice.delivery, "\n");
}

}  // namespace

std::string_view Advice(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::kErrorBurn:
      return "see below which version fails, and what the server's log says of it; take a version "
             "that is new back.";
    case AlarmKind::kLatencyBurn:
      return "see whether one version is slower than the one before, and whether queues are full: "
             "take it back, or add capacity.";
    case AlarmKind::kAccuracy:
    case AlarmKind::kQuality:
    case AlarmKind::kRiskIncrease:
      return "see whether one version or one kind of input got worse, and whether its labels are "
             "right; go back to a version that was good, or train anew.";
    case AlarmKind::kPredictionDrift:
    case AlarmKind::kFeatureDrift:
      return "see what changed where the inputs come from; when it is there to stay, compare with "
             "newer data or train anew.";
    case AlarmKind::kTrafficStopped:
      return "see whether callers, the way to the server and the server itself are well; unload a "
             "model that is no longer asked.";
    case AlarmKind::kSchemaViolation:
      return "see which callers send what the schema does not allow, and what they changed.";
    case AlarmKind::kCaptureLoss:
      return "see whether the disk is full or too slow, or a log cannot be read; until then the "
             "other alarms know less.";
  }
  return "";
}

std::string HeaderText(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), IsPrintable) && text.size() <= kLine * 3 &&
      text.find("=?") == std::string_view::npos)
    return std::string(text);
  std::string clean = ToUtf8(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  std::string out;
  for (std::string_view rest = clean; !rest.empty();) {
    const std::string_view word = CutUtf8(rest, kWord);
    rest.remove_prefix(word.size());
    out += out.empty() ? "=?utf-8?B?" : "\r\n =?utf-8?B?";
    AppendBase64(out, word);
    out += "?=";
  }
  return out;
}

std::string QuotedPrintable(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  size_t column = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      out += "\r\n";
      column = 0;
      continue;
    }
    const bool ends_line = i + 1 == text.size() || text[i + 1] == '\n';
    const bool as_it_is =
        (IsPrintable(c) && c != '=' && (c != ' ' || !ends_line)) && (c != '.' || column > 0);
    const size_t width = as_it_is ? 1 : 3;
    if (column + width > kLine - 1) {  // room for the '=' that says the line goes on
      out += "=\r\n";
      column = 0;
    }
    if (as_it_is && (c != '.' || column > 0)) {
      out += c;
      ++column;
    } else {
      out += '=';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
      column += 3;
    }
  }
  return out;
}

std::string AlarmMail(const Notices& notices, const MailFrame& frame, WallTime now) {
  const AlarmNotice& first = *notices[0];
  const std::string_view host = std::string_view(frame.from).substr(frame.from.find('@') + 1);
  std::string text = StrCat("From: Leadsman <", frame.from, ">\r\n");
  text += "To: ";
  for (size_t i = 0; i < frame.to.size(); ++i)
    text += StrCat(i > 0 ? ",\r\n " : "", "<", frame.to[i], ">");
  text += StrCat("\r\nSubject: ", HeaderText(CutUtf8(SubjectOf(notices), kSubject)),
                 "\r\nDate: ", MailDate(now), "\r\nMessage-ID: <", first.delivery, ".",
                 notices.size(), "@", host, ">\r\n");
  // Mail programs put all mails of one alarm together.
  if (notices.size() == 1) {
    const std::string thread = first.news ? first.news->thread : StrCat(first.alarm.id);
    text += StrCat("References: <", thread, "@", host, ">\r\n");
  }
  text +=
      "Auto-Submitted: auto-generated\r\n"
      "MIME-Version: 1.0\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Content-Transfer-Encoding: quoted-printable\r\n"
      "\r\n";
  std::string body;
  for (const auto& notice : notices) {
    if (!body.empty()) body += "\n----\n\n";
    body += BodyOf(*notice, frame.generator);
  }
  return text += QuotedPrintable(ToUtf8(body));
}

}  // namespace leadsman
