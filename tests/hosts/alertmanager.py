"""Debian's Alertmanager, which sends nothing on."""
import json
import os
import pathlib
import shutil
import urllib.request

from .process import HostError, HttpHost


def find_binary():
    """$LEADSMAN_ALERTMANAGER, then PATH, then where `./dev install test` unpacks Debian's package."""
    cache = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
    for candidate in (os.environ.get("LEADSMAN_ALERTMANAGER"), shutil.which("prometheus-alertmanager"),
                      str(cache / "alertmanager/usr/bin/prometheus-alertmanager")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise HostError("Alertmanager is not here; `./dev install test` fetches it")


class Alertmanager(HttpHost):
    """
        with Alertmanager(folder) as alertmanager:
            alertmanager.alerts()  # [{"labels": …, "annotations": …}] of those that have not ended
    """

    ready_path = "/-/ready"

    def __init__(self, folder, port=None, timeout=20):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "alertmanager.yml").write_text('{"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}')
        super().__init__()
        if port:
            self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.start("alertmanager", [
            find_binary(), f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn"],
            folder / "alertmanager.log", timeout)

    def alerts(self):
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            return json.load(answer)
