#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "monitor/alarm_notice.h"

namespace leadsman {

/// Who writes to whom, and what a mail of alarms points to.
struct MailFrame {
  std::string from;
  std::vector<std::string> to;
  std::string generator;  ///< URL of an alarm, without its number
};

/// One mail of one notice or of many, at least one: the whole of RFC 5322, in plain text, with CRLF. The same notices give the
/// same Message-ID. Whatever their texts are, they add no header: pure ASCII goes out, control characters do not.
std::string AlarmMail(const std::vector<std::shared_ptr<const AlarmNotice>>& notices,
                      const MailFrame& frame, WallTime now);

/// A header's text: as it is, or where it has other letters as RFC 2047's encoded words, in lines that are not too long.
std::string HeaderText(std::string_view text);
/// RFC 2045's quoted-printable of UTF-8 with lines that end in \n; they end in CRLF then, and none begins with a dot.
std::string QuotedPrintable(std::string_view text);
/// What may be done about it, in a sentence or two.
std::string_view Advice(AlarmKind kind);

}  // namespace leadsman
