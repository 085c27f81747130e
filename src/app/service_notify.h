#pragma once

#include <string>

#include "base/status.h"

namespace leadsman {

/// Tells the service manager that started the process (systemd's Type=notify) something, as "READY=1\nMAINPID=7". `address` is
/// $NOTIFY_SOCKET: the path of a Unix socket, or "@" and an abstract name; empty: there is none, and nothing is told. Does not wait.
Status NotifyServiceManager(const std::string& address, const std::string& state);

}  // namespace leadsman
