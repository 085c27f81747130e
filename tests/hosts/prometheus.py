"""Debian's Prometheus, scraping given targets once a second into a temporary folder."""
import json
import os
import pathlib
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request

from .process import HostError, HttpHost


def find_binary():
    """$LEADSMAN_PROMETHEUS, then PATH, then where `./dev install test` unpacks Debian's package."""
    cache = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
    for candidate in (os.environ.get("LEADSMAN_PROMETHEUS"), shutil.which("prometheus"),
                      str(cache / "prometheus/usr/bin/prometheus")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise HostError("Prometheus is not here; `./dev install test` fetches it")


class Prometheus(HttpHost):
    """
        with Prometheus(folder, {"leadsman": "127.0.0.1:8502"}) as prometheus:
            prometheus.wait_for("up == 1")
            prometheus.query("sum(rate(leadsman_serving_requests_total[10s]))")
    """

    ready_path = "/-/ready"

    def __init__(self, folder, targets, binary=None, metrics_path="/metrics", interval="1s", timeout=20, features=(), flags=(),
                 port=None, rules=None):
        folder = pathlib.Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        jobs = [{"job_name": name, "metrics_path": metrics_path, "static_configs": [{"targets": [target]}]}
                for name, target in targets.items()]
        config = {"global": {"scrape_interval": interval, "scrape_timeout": interval}, "scrape_configs": jobs}
        if rules:  # the text of a rule file
            (folder / "rules.yml").write_text(rules)
            config["rule_files"] = ["rules.yml"]
            config["global"]["evaluation_interval"] = interval
        (folder / "prometheus.yml").write_text(json.dumps(config, indent=1))  # JSON is YAML
        super().__init__()
        if port:
            self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.start("prometheus", [
            binary or find_binary(), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
            *([f"--enable-feature={','.join(features)}"] if features else []), *flags], folder / "prometheus.log", timeout)

    def ask(self, path, **parameters):
        """The data of an answer of the API; HostError with Prometheus's own words when it is refused."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise HostError(f"Prometheus refused {parameters!r}: {error.read().decode(errors='replace')}") from error

    def query(self, promql):
        """[(labels, value)] of an instant query."""
        result = self.ask("query", query=promql)
        if result["resultType"] == "scalar":
            return [({}, float(result["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in result["result"] if "value" in series]

    def exemplars(self, promql):
        """[(labels of the series, exemplar)] of the last hour."""
        now = time.time()
        found = self.ask("query_exemplars", query=promql, start=now - 3600, end=now + 60)
        return [(series["seriesLabels"], exemplar) for series in found for exemplar in series["exemplars"]]

    def wait_for(self, promql, timeout=15):
        """Waits until the query answers anything."""
        self.host.wait_until(lambda: bool(self.query(promql)), timeout, f"answering {promql!r}")
        return self.query(promql)
