#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace leadsman::intake {

/// Reads the times that logs are written with, into nanoseconds since 1970:
///
///   10/Oct/2000:13:55:36 -0700         nginx, Apache, gunicorn
///   28/Nov/2026 22:11:21               Werkzeug
///   2016-10-06T00:17:09.669794202Z     RFC 3339 with any offset, with T or a space, with . or , before the fraction
///   2026/11/28 22:11:25                nginx's error log, MLflow
///   1795904108.784641                  seconds, milliseconds, microseconds or nanoseconds since 1970, by size
///
/// A time that names no zone is read in `zone_if_unsaid`. Most lines are of the minute of the line before, and nearly all of its
/// day: both are kept, so that only seconds are read of most lines and the calendar is done once a day. Confined to one thread.
class TimeParser {
 public:
  explicit TimeParser(std::chrono::seconds zone_if_unsaid = std::chrono::seconds(0))
      : zone_if_unsaid_(zone_if_unsaid.count()) {}

  /// The whole of `text`; nothing when it is no time between 1970 and 2262.
  std::optional<int64_t> Parse(std::string_view text);
  /// A time at the start of `text`, of the forms with a year; `taken` is its length.
  std::optional<int64_t> ParsePrefix(std::string_view text, size_t& taken);
  /// True once a time without a zone has been read.
  bool zone_was_unsaid() const { return zone_was_unsaid_; }

 private:
  std::optional<int64_t> Civil(std::string_view text, bool month_by_name);
  std::optional<int64_t> Day(std::string_view text, bool month_by_name);
  std::optional<int64_t> WithFractionAndZone(std::string_view text, int64_t seconds, size_t& at);

  int64_t zone_if_unsaid_;
  bool zone_was_unsaid_ = false;
  std::array<char, 16> last_day_text_{};     ///< of 10 or 11 bytes, by the form
  int64_t last_day_seconds_ = 0;             ///< its midnight
  std::array<char, 18> last_minute_text_{};  ///< up to the seconds, of 17 or 18 bytes
  int64_t last_minute_seconds_ = 0;
};

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
std::optional<int64_t> ParseEpoch(std::string_view text);

}  // namespace leadsman::intake
