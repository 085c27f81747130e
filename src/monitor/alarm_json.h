#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "monitor/alarm_book.h"
#include "monitor/alarm_notice.h"

namespace leadsman {

/// Alarms, notices and silences as the API shows them, webhooks send them and the store keeps them: one form. Times are RFC 3339,
/// what is not there is null. ParseX(XJson(x)) gives x, but for numbers that are not finite, which become 0, and what is
/// not UTF-8. DATA_LOSS for anything else.
std::string AlarmJson(const Alarm& alarm);
Result<Alarm> ParseAlarm(std::string_view json);
std::string NoticeJson(const AlarmNotice& notice);
Result<AlarmNotice> ParseNotice(std::string_view json);
std::string SilenceJson(const Silence& silence);
Result<Silence> ParseSilence(std::string_view json);

}  // namespace leadsman
