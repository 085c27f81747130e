#pragma once

#include <string>

#include "base/log.h"
#include "base/status.h"
#include "monitor/alarm_outbox.h"

namespace leadsman {

/// After a try that failed for `why`: what `peer` has been owed since `before` or longer is given up.
inline void GiveUpLate(AlarmOutbox::Box& box, SteadyTime before, const std::string& peer,
                       const Status& why) {
  if (const size_t count = box.DropOlder(before); count > 0)
    LOG_WARN("notices are given up", {"peer", peer}, {"count", count}, {"reason", why});
}

}  // namespace leadsman
