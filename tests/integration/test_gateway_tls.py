"""`leadsman gateway` in front of nginx over TLS: who is believed, what is said of who is not, and certificates that change."""
import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest
import requests
from certificates import Authority
from conftest import wait_for
from hosts.stores import CACHE, _program
from test_gateway import Gateway, free_port


class Nginx:
    """Answers with its version over TLS, to clients that show a certificate of the authority."""

    def __init__(self, folder, authority, pair):
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.endpoint = f"localhost:{self.port}"
        self.use(pair)
        (folder / "nginx.conf").write_text(f"""
            daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
            events {{ worker_connections 64; }}
            http {{
              access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
              uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 7;
              server {{
                listen 127.0.0.1:{self.port} ssl; listen [::1]:{self.port} ssl;
                ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
                ssl_client_certificate {authority.certificate}; ssl_verify_client on;
                location / {{ default_type text/plain; return 200 "$ssl_client_s_dn $ssl_server_name"; }}
              }}
            }}""")
        binary = _program("nginx", CACHE / "stores/nginx/usr/sbin/nginx", "/usr/sbin/nginx")
        user = ["-g", "user root;"] if os.getuid() == 0 else []
        self.process = subprocess.Popen([binary, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf"), *user],
                                        start_new_session=True)
        wait_for("nginx", self._listens)

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True
        return False

    def use(self, pair):
        for source, name in zip(pair, ("cert.pem", "key.pem")):
            (self.folder / name).write_bytes(source.read_bytes())

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def certified(tmp_path):
    """An nginx, a gateway in front of it that shows a certificate, and the authority of both."""
    authority = Authority(tmp_path / "ca", "authority")
    own = authority.issue("gateway")
    nginx = Nginx(tmp_path / "nginx", authority, authority.issue("first"))
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(authority.certificate.read_bytes())
    config = {"gateway": {"listeners": [{"address": "127.0.0.1", "port": 0}], "services": [{
        "name": "digits", "versions": [{"version": 1, "endpoints": [nginx.endpoint]}],
        "health": {"path": "/healthz", "interval": "100ms", "unhealthy_after": 1, "healthy_after": 1},
        "tls": {"ca_file": "ca.pem", "cert_file": str(own[0]), "key_file": str(own[1])}}]}}
    gateway = Gateway(folder, config)
    try:
        gateway.start()  # which is ready when each endpoint is known, well or not: the name may not have been found yet
        wait_for("an endpoint that is healthy", lambda: gateway.service()["versions"][0]["endpoints"][0]["state"] == "healthy")
        yield nginx, gateway, authority
    finally:
        gateway.stop()
        nginx.stop()


def test_requests_and_checks_pass_with_a_certificate_shown(certified):
    _, gateway, _ = certified
    with requests.Session() as session:
        for _ in range(30):  # nginx ends each connection after seven
            answer = session.get(gateway.url + "/predict", timeout=10)
            assert (answer.status_code, answer.text) == (200, "CN=gateway localhost")
    assert gateway.service()["versions"][0]["endpoints"][0]["state"] == "healthy"


def test_a_certificate_that_expires_is_said_and_a_new_one_taken(certified):
    nginx, gateway, authority = certified
    nginx.use(authority.issue("second", days=-1))
    nginx.reload()

    def endpoint():
        return gateway.service()["versions"][0]["endpoints"][0]

    wait_for("an endpoint that is not healthy", lambda: endpoint()["state"] == "unhealthy")
    assert endpoint()["reason"] == "has a certificate that has expired"
    answer = requests.get(gateway.url + "/predict", timeout=10)
    assert answer.status_code == 503 and "has expired" in answer.json()["error"]
    other = Authority(authority.folder.parent / "other", "other")
    nginx.use(other.issue("third"))
    nginx.reload()
    wait_for("the other reason", lambda: "nobody who is trusted has signed" in endpoint()["reason"])
    # Both authorities are believed from now on; nothing is started again.
    (gateway.path.parent / "ca.pem").write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    wait_for("an endpoint that is healthy", lambda: endpoint()["state"] == "healthy")
    assert requests.get(gateway.url + "/predict", timeout=10).status_code == 200
    assert json.loads(gateway.get("/api/v1/gateway").text)["services"][0]["versions"][0]["ready"]
