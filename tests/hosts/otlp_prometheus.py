"""A real Prometheus 3, which is sent metrics by OTLP. `./dev install test` brings it into the cache."""
from .prometheus import Prometheus
from .stores import CACHE, _program


class OtlpPrometheus(Prometheus):
    """Scrapes nobody; takes OTLP over HTTP at `otlp_url`."""

    def __init__(self, folder, timeout=20):
        super().__init__(folder, {}, _program("prometheus3", CACHE / "stores/bin/prometheus3"), timeout=timeout,
                         features=["exemplar-storage"], flags=["--web.enable-otlp-receiver"])

    @property
    def otlp_url(self):
        return f"{self.url}/api/v1/otlp/v1/metrics"
