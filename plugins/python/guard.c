// leadsman_python_guard: stands between the server and one Python worker, so that nothing of the worker outlives either.
//
//   leadsman_python_guard <program> <argument>…
//
// Inherited file descriptors: 0 to 2 the worker's own; 3 the lifeline, a pipe whose other end only the server holds; 4 and
// up belong to the worker. The guard starts the program with 4 and up, and then waits for one of two things:
//   - the lifeline ends (the server let go, or died in whatever way): everything is killed;
//   - the program ends: what it left behind is killed.
// "Everything" is what the worker forked, too, also what has called setsid() or was orphaned: the guard is the subreaper
// of all of it, so that whoever loses its parent becomes the guard's own child. The worker is killed by the kernel should
// the guard itself be killed. The guard's exit status is the program's; a signal shows as that signal.
//
// Plain C and no libc beyond system calls after the start: it costs a few hundred kB.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kLifeline = 3, kCannotRun = 127 };

static volatile sig_atomic_t child_changed;
static void OnChild(int signal) {
  (void)signal;
  child_changed = 1;
}

static int KillListed(const char* text) {
  int killed = 0;
  for (const char* at = text; *at != '\0';) {
    char* end = NULL;
    long pid = strtol(at, &end, 10);
    if (end == at) break;
    if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0) ++killed;
    at = end;
  }
  return killed;
}

// The parent's id stands behind the name in brackets, which may hold anything: the last bracket counts.
static int IsMine(const char* pid) {
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = '\0';
  const char* name_end = strrchr(text, ')');
  char state = 0;
  int parent = 0;
  return name_end != NULL && sscanf(name_end + 1, " %c %d", &state, &parent) == 2 &&
         parent == getpid();
}

// Kills the children of this process; their own children become ours and are met in the next round.
static void KillChildren(void) {
  char path[64];
  char text[65536];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size >= 0) {
      text[size] = '\0';
      KillListed(text);
      return;
    }
  }
  DIR* proc = opendir("/proc");  // a kernel without that list
  if (proc == NULL) return;
  for (struct dirent* entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && IsMine(entry->d_name))
      KillListed(entry->d_name);
  }
  closedir(proc);
}

static void KillEverything(pid_t program) {
  const struct timespec pause = {0, 2 * 1000 * 1000};
  if (program > 0) kill(-program, SIGKILL);
  for (;;) {
    KillChildren();
    pid_t reaped = waitpid(-1, NULL, WNOHANG);
    if (reaped < 0 && errno == ECHILD) return;
    if (reaped <= 0) nanosleep(&pause, NULL);  // on its way out
  }
}

static void EndAs(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  signal(number, SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  kill(getpid(), number);
  _exit(128 + number);
}

static void RunProgram(char** arguments, pid_t guard, const sigset_t* signals) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != guard) _exit(kCannotRun);
  setpgid(0, 0);
  close(kLifeline);
  sigprocmask(SIG_SETMASK, signals, NULL);
  execvp(arguments[0], arguments);
  // Read by the server when the program never said a word.
  fprintf(stderr, "cannot run %s: %s\n", arguments[0], strerror(errno));
  _exit(kCannotRun);
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: leadsman_python_guard <program> <argument>...\n");
    return 2;
  }
  const struct rlimit no_core = {0, 0};  // a core file would hold requests
  setrlimit(RLIMIT_CORE, &no_core);
  setsid();  // Ctrl-C at the server's terminal is the server's to handle
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  signal(SIGPIPE, SIG_IGN);

  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = OnChild;
  sigaction(SIGCHLD, &action, NULL);

  const pid_t guard = getpid();
  const pid_t program = fork();
  if (program < 0) {
    fprintf(stderr, "cannot start a process: %s\n", strerror(errno));
    return kCannotRun;
  }
  if (program == 0) {
    signal(SIGPIPE, SIG_DFL);
    RunProgram(argv + 1, guard, &before);
  }
  setpgid(program, program);
  // The worker's descriptors are not ours: the server sees the end of a channel when the worker ends.
  for (int fd = 0; fd < 64; ++fd) {
    if (fd != kLifeline) close(fd);
  }

  for (;;) {
    struct pollfd lifeline = {kLifeline, POLLIN, 0};
    const int ready = ppoll(&lifeline, 1, NULL, &before);
    if (child_changed) {
      child_changed = 0;
      for (;;) {
        int status = 0;
        const pid_t ended = waitpid(-1, &status, WNOHANG);
        if (ended <= 0) break;
        if (ended != program) continue;  // an orphan of the worker
        KillEverything(program);
        EndAs(status);
      }
    }
    if (ready > 0) {
      KillEverything(program);
      return 0;
    }
    if (ready < 0 && errno != EINTR) {
      KillEverything(program);
      return 1;
    }
  }
}
