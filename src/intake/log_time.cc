#include "intake/log_time.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace leadsman::intake {
namespace {

constexpr int64_t kNanos = 1'000'000'000;
constexpr int64_t kMaxSeconds = 9'214'646'400;  // 2262-01-01: beyond, nanoseconds overflow

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Two digits, or -1.
int Two(const char* p) {
  return IsDigit(p[0]) && IsDigit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

int Four(const char* p) {
  int high = Two(p), low = Two(p + 2);
  return high < 0 || low < 0 ? -1 : high * 100 + low;
}

int MonthByName(const char* p) {
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  for (size_t i = 0; i < 12; ++i)
    if (std::memcmp(p, kMonths.data() + i * 3, 3) == 0) return static_cast<int>(i) + 1;
  return -1;
}

/// "+0200", "+02:00", "-07", in seconds.
bool Offset(std::string_view text, size_t& at, int64_t& offset) {
  if (at + 3 > text.size()) return false;
  int hours = Two(text.data() + at + 1);
  int64_t sign = text[at] == '-' ? -1 : 1;
  size_t next = at + 3;
  int minutes = 0;
  bool colon = next < text.size() && text[next] == ':';
  if (next + colon + 2 <= text.size() && Two(text.data() + next + colon) >= 0) {
    minutes = Two(text.data() + next + colon);
    next += colon + 2;
  }
  if (hours < 0 || hours > 23 || minutes > 59) return false;
  offset = sign * (hours * 3600 + minutes * 60);
  at = next;
  return true;
}

}  // namespace

std::optional<int64_t> ParseEpoch(std::string_view text) {
  if (text.empty() || text.size() > 32 || !IsDigit(text[0])) return std::nullopt;
  int64_t whole = 0;
  const char* end = text.data() + text.size();
  auto [p, error] = std::from_chars(text.data(), end, whole);
  if (error != std::errc()) return std::nullopt;
  if (p != end && *p != '.') {  // 1.7e9, as some write it
    double value = 0;
    auto [q, bad] = std::from_chars(text.data(), end, value);
    if (bad != std::errc() || q != end || !(value >= 0) || value >= double(kMaxSeconds))
      return std::nullopt;
    return static_cast<int64_t>(value * 1e9);
  }
  int64_t scale = whole < 100'000'000'000           ? kNanos
                  : whole < 100'000'000'000'000     ? 1'000'000
                  : whole < 100'000'000'000'000'000 ? 1'000
                                                    : 1;
  if (whole > kMaxSeconds * (kNanos / scale)) return std::nullopt;
  int64_t fraction = 0;
  if (p != end) {
    int64_t weight = scale;
    for (++p; p != end; ++p) {
      if (!IsDigit(*p)) return std::nullopt;
      weight /= 10;
      fraction += weight * (*p - '0');
    }
  }
  return whole * scale + fraction;
}

/// Midnight of "10/Oct/2000" or "2000-10-10".
std::optional<int64_t> TimeParser::Day(std::string_view text, bool month_by_name) {
  const char* p = text.data();
  const size_t size = month_by_name ? 11 : 10;
  // The two forms differ in their third byte.
  if (std::memcmp(p, last_day_text_.data(), 10) == 0 &&
      (!month_by_name || p[10] == last_day_text_[10]))
    return last_day_seconds_;
  const int year = Four(month_by_name ? p + 7 : p);
  const int month = month_by_name ? MonthByName(p + 3) : Two(p + 5);
  const int day = Two(month_by_name ? p : p + 8);
  if (month_by_name ? p[2] != '/' || p[6] != '/' : p[4] != p[7]) return std::nullopt;
  if (year < 1970 || year > 2261 || month < 1 || day < 1) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  last_day_seconds_ = int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86'400;
  std::memcpy(last_day_text_.data(), p, size);
  return last_day_seconds_;
}

std::optional<int64_t> TimeParser::Civil(std::string_view text, bool month_by_name) {
  // "10/Oct/2000:13:55:" or "2000-10-10T13:55:".
  const char* const begin = text.data();
  const char* const kept = last_minute_text_.data();
  if (month_by_name ? std::memcmp(begin, kept, 18) == 0 : std::memcmp(begin, kept, 17) == 0) {
    const int second = Two(begin + (month_by_name ? 18 : 17));
    if (second < 0 || second > 60) return std::nullopt;
    return last_minute_seconds_ + second;
  }
  const std::optional<int64_t> day = Day(text, month_by_name);
  if (!day) return std::nullopt;
  const char* clock = text.data() + (month_by_name ? 12 : 11);
  const char between = clock[-1];
  if (month_by_name ? between != ':' && between != ' '
                    : between != 'T' && between != 't' && between != ' ')
    return std::nullopt;
  const int hour = Two(clock), minute = Two(clock + 3), second = Two(clock + 6);
  if (clock[2] != ':' || clock[5] != ':') return std::nullopt;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  last_minute_seconds_ = *day + hour * 3600 + minute * 60;
  std::memcpy(last_minute_text_.data(), begin, month_by_name ? 18 : 17);
  return last_minute_seconds_ + second;
}

std::optional<int64_t> TimeParser::WithFractionAndZone(std::string_view text, int64_t seconds,
                                                       size_t& at) {
  int64_t nanos = 0;
  if (at + 1 < text.size() && (text[at] == '.' || text[at] == ',') && IsDigit(text[at + 1])) {
    int64_t weight = kNanos;
    for (++at; at < text.size() && IsDigit(text[at]); ++at) {
      weight /= 10;  // digits beyond the ninth weigh nothing
      nanos += weight * (text[at] - '0');
    }
  }
  int64_t offset = zone_if_unsaid_;
  size_t zone = at;
  if (zone < text.size() && (text[zone] == 'Z' || text[zone] == 'z')) {
    offset = 0;
    at = zone + 1;
  } else {
    if (zone + 1 < text.size() && text[zone] == ' ' &&
        (text[zone + 1] == '+' || text[zone + 1] == '-'))
      ++zone;
    bool sign = zone < text.size() && (text[zone] == '+' || text[zone] == '-');
    if (sign && Offset(text, zone, offset)) {
      at = zone;
    } else {
      zone_was_unsaid_ = true;
    }
  }
  int64_t unix_seconds = seconds - offset;
  if (unix_seconds < 0 || unix_seconds >= kMaxSeconds) return std::nullopt;
  return unix_seconds * kNanos + nanos;
}

std::optional<int64_t> TimeParser::ParsePrefix(std::string_view text, size_t& taken) {
  if (text.size() < 19) return std::nullopt;
  bool by_name = text[2] == '/';
  if (by_name ? text.size() < 20 : (text[4] != '-' && text[4] != '/')) return std::nullopt;
  std::optional<int64_t> seconds = Civil(text, by_name);
  if (!seconds) return std::nullopt;
  size_t at = by_name ? 20 : 19;
  std::optional<int64_t> time = WithFractionAndZone(text, *seconds, at);
  taken = at;
  return time;
}

std::optional<int64_t> TimeParser::Parse(std::string_view text) {
  size_t taken = 0;
  if (std::optional<int64_t> time = ParsePrefix(text, taken)) {
    if (taken == text.size()) return time;
    return std::nullopt;
  }
  return ParseEpoch(text);
}

}  // namespace leadsman::intake
