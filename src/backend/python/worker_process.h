#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/python/shared_region.h"
#include "base/status.h"

namespace leadsman::python {

/// A guard (plugins/python/guard.c) and the worker below it, as the server sees them.
struct WorkerProcess {
  pid_t guard = -1;
  UniqueFd pidfd;  ///< readable once the guard, and with it the worker and all it forked, has ended
  UniqueFd lifeline;  ///< closing it ends them all
  UniqueFd log;       ///< what the worker prints; non-blocking
  UniqueFd channel;   ///< SOCK_SEQPACKET
};

struct SpawnRequest {
  std::string guard;                     ///< path of leadsman_python_guard
  std::vector<std::string> command;      ///< interpreter and its arguments
  std::vector<std::string> environment;  ///< "NAME=value"
  int request_fd = -1;
  int response_fd = -1;
};

/// Starts them. Does not wait for the worker to say anything. Errors: FAILED_PRECONDITION when the guard cannot be run,
/// RESOURCE_EXHAUSTED when there are no descriptors or processes left; a guard that runs all the same stands in `process`,
/// to be ended and reaped. Thread-safe.
Status SpawnWorker(const SpawnRequest& request, WorkerProcess& process);

/// How a guard has ended: "was killed by SIGSEGV", "ended with status 3".
struct WorkerExit {
  int status = 0;  ///< as of waitpid
  std::string ToString() const;
};
/// Reaps a guard that has ended. Nothing when it has not; does not wait for it.
std::optional<WorkerExit> ReapWorker(const WorkerProcess& process);

/// What a worker may see of the server's environment: the names that programs need to run at all, and nothing that is
/// likely to be a secret. `pass`: further names that the operator lets through. Values of `set` come last and win.
std::vector<std::string> WorkerEnvironment(const std::map<std::string, std::string>& server,
                                           const std::vector<std::string>& pass,
                                           const std::map<std::string, std::string>& set);

/// "/opt/python cannot be run: No such file or directory"; empty: it can.
std::string WhyNotRunnable(const std::string& path);
/// The interpreter's absolute path: a path is taken as it is, a name is looked up in PATH. FAILED_PRECONDITION says what
/// to install or to set.
Result<std::string> FindInterpreter(const std::string& name,
                                    const std::map<std::string, std::string>& environment);

/// Resident memory of a process; 0 when it is gone.
int64_t ResidentBytesOf(pid_t pid);

}  // namespace leadsman::python
