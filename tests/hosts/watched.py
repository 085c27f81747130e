"""Services of models that write logs and know nothing of Leadsman: nginx in front of uvicorn."""
import os
import pathlib
import shutil
import subprocess

from .process import HttpHost
from .stores import CACHE, _program

TIMED = ('$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
         '"$http_referer" "$http_user_agent" $request_time')


class Nginx(HttpHost):
    """Answers /v1/models/…:predict by itself: 200, 503 for the model "broken", 404 for others. /healthz is no prediction.
    reopen() makes it write into a new log, as logrotate's postrotate does."""

    ready_path = "/healthz"

    def __init__(self, folder, timeout=10):
        super().__init__()
        self.folder = folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "access.log"
        places = "".join(f"{name}_temp_path {folder}/{name};" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error warn;\n"
            f"events {{}} http {{ log_format timed '{TIMED}'; access_log {self.log} timed; {places}\n"
            f"server {{ listen 127.0.0.1:{self.port}; location = /healthz {{ return 200; }}\n"
            "location ~ ^/v1/models/(digits|iris) { return 200; } location ~ ^/v1/models/broken { return 503; }\n"
            "location / { return 404; } } }\n")
        binary = _program("nginx", CACHE / "stores/nginx/usr/sbin/nginx", "/usr/sbin/nginx")
        user = ["-g", "user root;"] if os.getuid() == 0 else []
        self.start("nginx", [binary, "-e", folder / "nginx.error", "-p", folder, "-c", folder / "nginx.conf", *user],
                   folder / "nginx.log", timeout)

    def rotate(self, copytruncate=False):
        """With the real logrotate, which tells nginx by SIGUSR1."""
        how = "copytruncate" if copytruncate else (
            f"create\n  postrotate\n    kill -USR1 $(cat {self.folder}/nginx.pid)\n  endscript")
        conf = self.folder / "rotate.conf"
        conf.write_text(f"{self.log} {{\n  rotate 9\n  size 1\n  compress\n  delaycompress\n  {how}\n}}\n")
        conf.chmod(0o644)
        program = shutil.which("logrotate") or "/usr/sbin/logrotate"
        subprocess.run([program, "-f", "-s", self.folder / "rotate.state", conf], check=True, timeout=30,
                       capture_output=True)


class Uvicorn(HttpHost):
    """An ASGI app whose /predict raises when the body is "raise"; its log goes where a container's would."""

    ready_path = "/healthz"

    def __init__(self, folder, timeout=30):
        super().__init__()
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "watched_app.py").write_text(
            "async def app(scope, receive, send):\n"
            "    if scope['type'] != 'http':\n"
            "        return\n"
            "    body = (await receive()).get('body', b'')\n"
            "    if body == b'raise':\n"
            "        raise ValueError('no such feature')\n"
            "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
            "    await send({'type': 'http.response.body', 'body': b'{}'})\n")
        self.log = folder / "uvicorn.log"
        python = CACHE / "venv-models/bin/python"
        self.start("uvicorn", [python, "-m", "uvicorn", "watched_app:app", "--host", "127.0.0.1", "--port",
                               str(self.port), "--app-dir", str(folder)], self.log, timeout)
