"""A child process that ends with its parent, however the parent ends."""
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class HostError(RuntimeError):
    """A server that did not come up; the message says why and shows the end of its log."""


def free_port():
    """A port that nobody listens on now. Somebody else may take it before it is used; then the start fails, loudly."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    """Whether a server says 200 there, within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:  # urllib's errors are such
        return False


def _die_with(parent):
    """Runs in the child before exec: the kernel ends it when the parent is gone, even by SIGKILL."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class HostProcess:
    """Starts a command with its output in a log file, in a process group of its own (Ctrl-C reaches only us, and we stop it
    in order). Must be started from the main thread: PR_SET_PDEATHSIG follows the thread that forked."""

    def __init__(self, name, command, log, env=None, cwd=None):
        self.name, self.log = name, pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with open(self.log, "wb") as out:
            try:
                self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out,
                                                stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
                                                env={**os.environ, **(env or {})}, preexec_fn=lambda: _die_with(parent))
            except OSError as error:
                raise HostError(f"cannot start {name}: {error}") from error

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def log_tail(self, lines=15):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def wait_until(self, ready, timeout, what="ready"):
        """Polls `ready()` until it is true, and returns what it gave; HostError when the process ends or the time is over."""
        deadline = time.monotonic() + timeout
        while True:
            if answer := ready():
                return answer
            if not self.running():
                raise HostError(f"{self.name} ended with status {self.process.returncode} before it was {what}; "
                                f"its log ({self.log}) ends with:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise HostError(f"{self.name} was not {what} within {timeout:g} s; its log ({self.log}) ends with:\n"
                                f"{self.log_tail()}")
            time.sleep(0.05)

    def stop(self, grace=10):
        """SIGTERM, then after `grace` seconds SIGKILL to the whole group. Returns the exit status."""
        if self.running():
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        self._signal(signal.SIGKILL)  # also what it may have left in its group
        return self.process.wait()

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class HttpHost:
    """A server on a free port of its own that says by HTTP when it is ready; a context manager. Subclasses hand their
    command to start(); `self.port` and `self.url` are set before."""

    ready_path = "/v2/health/ready"

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, name, command, log, timeout, env=None):
        self.host = HostProcess(name, command, log, env=env)
        try:
            self.host.wait_until(self._ready, timeout)
        except BaseException:
            self.host.stop()
            raise

    @property
    def pid(self):
        return self.host.pid

    @property
    def ready_url(self):
        return self.url + self.ready_path

    def _ready(self):
        return answers(self.ready_url)

    def stop(self):
        return self.host.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
