#include "backend/python/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "backend/python/worker_protocol.h"
#include "base/strings.h"

namespace leadsman::python {
namespace {

Status NoRoom(std::string_view what) {
  return ResourceExhaustedError(
      StrCat("a Python worker cannot be started: ", what, ": ", std::strerror(errno)));
}

/// Descriptors that are put into their places in the child must not stand in one another's place.
constexpr int kAboveAllPlaces = 16;
Result<UniqueFd> MovedUp(int fd) {
  UniqueFd moved(fcntl(fd, F_DUPFD_CLOEXEC, kAboveAllPlaces));
  if (!moved.valid()) return NoRoom("dup");
  return moved;
}

/// What spawn needs, freed in the end.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    // The server blocks signals that it waits for; a worker starts as if nobody had.
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

bool IsPassed(std::string_view name) {
  static constexpr std::array<std::string_view, 20> kNames = {"PATH",
                                                              "HOME",
                                                              "USER",
                                                              "LOGNAME",
                                                              "LANG",
                                                              "LANGUAGE",
                                                              "TZ",
                                                              "TMPDIR",
                                                              "TEMP",
                                                              "TMP",
                                                              "LD_LIBRARY_PATH",
                                                              "PYTHONPATH",
                                                              "PYTHONHOME",
                                                              "VIRTUAL_ENV",
                                                              "CONDA_PREFIX",
                                                              "SSL_CERT_FILE",
                                                              "SSL_CERT_DIR",
                                                              "XDG_CACHE_HOME",
                                                              "KERAS_BACKEND",
                                                              "KERAS_HOME"};
  if (std::find(kNames.begin(), kNames.end(), name) != kNames.end()) return true;
  for (std::string_view prefix :
       {"LC_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_", "TF_", "XLA_"}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

Status SpawnWorker(const SpawnRequest& request, WorkerProcess& process) {
  std::array<int, 2> pair{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    return NoRoom("socketpair");
  process.channel = UniqueFd(pair[0]);
  UniqueFd worker_channel(pair[1]);
  if (pipe2(pair.data(), O_CLOEXEC) != 0) return NoRoom("pipe");
  UniqueFd lifeline_end(pair[0]);
  process.lifeline = UniqueFd(pair[1]);
  if (pipe2(pair.data(), O_CLOEXEC) != 0) return NoRoom("pipe");
  process.log = UniqueFd(pair[0]);
  UniqueFd log_end(pair[1]);
  fcntl(process.log.get(), F_SETFL, O_NONBLOCK);
  UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) return NoRoom("open /dev/null");

  const std::array<std::pair<int, int>, 7> places = {{{null.get(), 0},
                                                      {log_end.get(), 1},
                                                      {log_end.get(), 2},
                                                      {lifeline_end.get(), kLifelineFd},
                                                      {worker_channel.get(), kSocketFd},
                                                      {request.request_fd, kRequestFd},
                                                      {request.response_fd, kResponseFd}}};
  SpawnSettings settings;
  std::vector<UniqueFd> moved;
  for (const auto& [fd, place] : places) {
    ASSIGN_OR_RETURN(UniqueFd up, MovedUp(fd));
    posix_spawn_file_actions_adddup2(&settings.actions, up.get(), place);
    moved.push_back(std::move(up));
  }
  // Listening sockets, connections, databases: nothing of the server's is a worker's.
  posix_spawn_file_actions_addclosefrom_np(&settings.actions, kResponseFd + 1);

  std::vector<std::string> words = {request.guard};
  words.insert(words.end(), request.command.begin(), request.command.end());
  std::vector<char*> arguments = Pointers(words);
  std::vector<char*> environment = Pointers(request.environment);
  const int error = posix_spawn(&process.guard, request.guard.c_str(), &settings.actions,
                                &settings.attributes, arguments.data(), environment.data());
  if (error != 0) {
    if (error == EAGAIN || error == ENOMEM) {
      errno = error;
      return NoRoom("no more processes or memory");
    }
    return FailedPreconditionError(
        StrCat("a Python worker cannot be started: ", request.guard, ": ", std::strerror(error)));
  }
  process.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, process.guard, 0)));
  return process.pidfd.valid() ? OkStatus() : NoRoom("pidfd_open");
}

std::optional<WorkerExit> ReapWorker(const WorkerProcess& process) {
  WorkerExit exit;
  if (waitpid(process.guard, &exit.status, WNOHANG) == 0) return std::nullopt;
  return exit;
}

std::string WorkerExit::ToString() const {
  if (!WIFSIGNALED(status)) return StrCat("ended with status ", WEXITSTATUS(status));
  const char* name = sigabbrev_np(WTERMSIG(status));
  return name != nullptr ? StrCat("was killed by SIG", name)
                         : StrCat("was killed by signal ", WTERMSIG(status));
}

std::vector<std::string> WorkerEnvironment(const std::map<std::string, std::string>& server,
                                           const std::vector<std::string>& pass,
                                           const std::map<std::string, std::string>& set) {
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : server) {
    if (IsPassed(name) || std::find(pass.begin(), pass.end(), name) != pass.end())
      values[name] = value;
  }
  for (const auto& [name, value] : set) values[name] = value;
  std::vector<std::string> environment;
  for (const auto& [name, value] : values) environment.push_back(StrCat(name, "=", value));
  return environment;
}

std::string WhyNotRunnable(const std::string& path) {
  if (access(path.c_str(), X_OK) == 0) return "";
  return StrCat(path, " cannot be run: ", std::strerror(errno),
                path.starts_with('~') ? "; ~ stands for nothing here, write the whole path" : "");
}

Result<std::string> FindInterpreter(const std::string& name,
                                    const std::map<std::string, std::string>& environment) {
  constexpr const char* kAdvice =
      "; install Python 3.9 or newer, or name an interpreter: backends.python.interpreter in the "
      "configuration, "
      "LEADSMAN_PYTHON_WORKER in the environment, or the model's runtime option python";
  if (name.find('/') != std::string::npos) {
    const std::string wrong = WhyNotRunnable(name);
    if (wrong.empty()) return name;
    return FailedPreconditionError(StrCat("the Python interpreter ", wrong, kAdvice));
  }
  auto path = environment.find("PATH");
  const std::string folders =
      path != environment.end() ? path->second : "/usr/local/bin:/usr/bin:/bin";
  for (std::string_view folder : Split(folders, ':')) {
    std::string file = StrCat(folder.empty() ? "." : folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return FailedPreconditionError(
      StrCat("there is no Python interpreter \"", name, "\" in PATH (", folders, ")", kAdvice));
}

int64_t ResidentBytesOf(pid_t pid) {
  const std::string path = StrCat("/proc/", pid, "/statm");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                       &std::fclose);
  long long size = 0;
  long long resident = 0;
  if (!file || std::fscanf(file.get(), "%lld %lld", &size, &resident) != 2) return 0;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace leadsman::python
