"""A real Redis on loopback, without anything on disk. `./dev install` brings redis-tools, which has the server as
redis-check-rdb: it is one under the name redis-server."""
import pathlib
import shutil
import subprocess

from .process import HostError, HostProcess, free_port


class Redis:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        if program is None:
            raise HostError("Redis is not here; `./dev install` brings it")
        self.program = self.folder / "redis-server"
        self.program.symlink_to(program)
        self.run()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def run(self):
        """Also after stop(): on the same port, without what it held."""
        self.host = HostProcess("redis", [self.program, "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir",
                                          self.folder], self.folder / "redis.log")
        self.host.wait_until(lambda: self.ask("PING") == "PONG", 20)

    def ask(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *map(str, words)], capture_output=True, text=True, timeout=10,
                              check=False).stdout.strip()

    def stop(self):
        return self.host.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
