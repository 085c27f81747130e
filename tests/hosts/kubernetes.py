"""A real etcd and kube-apiserver on loopback: the API of Kubernetes without nodes and controllers. `./dev install kubernetes`
builds them into the cache; where they are not, HostError says so.

Nobody makes the ServiceAccount `default` of a namespace here, and nothing that is deleted takes its dependents along.
"""
import base64
import json
import os
import pathlib
import subprocess

import requests

from .process import HostError, HostProcess, free_port

CACHE = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
PROGRAMS = CACHE / "kubernetes/bin"


def _program(name):
    path = PROGRAMS / name
    if not os.access(path, os.X_OK):
        raise HostError(f"{name} is not here; `./dev install kubernetes` builds it")
    return path


class Pki:
    """The cluster's authority and what it has signed, in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.crt"
        self._new_key("ca")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test-cluster", "-days", "30", "-out", "ca.crt",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._new_key("accounts")  # signs the tokens of service accounts

    def issue(self, name, subject, usage, names=""):
        """(certificate, key)."""
        self._new_key(name)
        (self.folder / "extensions").write_text(f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
                                                f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                      "30", "-extfile", "extensions", "-out", f"{name}.crt")
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _new_key(self, name):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=30)


class ControlPlane:
    """etcd and kube-apiserver. Each can be stopped and started again on its port, with what was stored."""

    def __init__(self, folder, timeout=90):
        self.folder, self.timeout = pathlib.Path(folder), timeout
        programs = {name: _program(name) for name in ("etcd", "kube-apiserver")}
        self.pki = Pki(self.folder / "pki")
        self.port, self.etcd_port, peer_port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        server, server_key = self.pki.issue("apiserver", "/CN=kube-apiserver", "serverAuth", "IP:127.0.0.1,DNS:localhost")
        self.admin = self.pki.issue("admin", "/O=system:masters/CN=admin", "clientAuth")
        etcd_url, peer_url = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{peer_port}"
        self.etcd_url = etcd_url
        self._etcd_command = [
            programs["etcd"], "--data-dir", self.folder / "etcd", "--listen-client-urls", etcd_url,
            "--advertise-client-urls", etcd_url, "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
            "--initial-cluster", f"default={peer_url}", "--unsafe-no-fsync"]
        accounts = self.pki.folder / "accounts.key"
        self._api_command = [
            programs["kube-apiserver"], f"--etcd-servers={etcd_url}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--secure-port={self.port}",
            f"--tls-cert-file={server}", f"--tls-private-key-file={server_key}", f"--client-ca-file={self.pki.ca}",
            "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}", "--allow-privileged=true",
            "--shutdown-watch-termination-grace-period=1s"]  # without it a stop waits for them
        self.etcd = self.api = None
        self._starts = 0
        try:
            self.start_etcd()
            self.start_api()
        except BaseException:
            self.stop()
            raise

    def start_etcd(self):
        self._starts += 1
        self.etcd = HostProcess("etcd", self._etcd_command, self.folder / f"etcd-{self._starts}.log")
        self.etcd.wait_until(lambda: self._says_ok(f"{self.etcd_url}/health"), self.timeout)

    def start_api(self):
        self._starts += 1
        self.api = HostProcess("kube-apiserver", self._api_command, self.folder / f"apiserver-{self._starts}.log")
        self.api.wait_until(lambda: self._says_ok(f"{self.url}/readyz"), self.timeout)

    def stop_api(self, kill=False):
        if kill:
            self.api.process.kill()
        self.api.stop(grace=20)

    def stop(self):
        for host in (self.api, self.etcd):
            if host is not None:
                host.stop(grace=20)

    def _says_ok(self, url):
        try:
            return requests.get(url, verify=str(self.pki.ca), timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def ask(self, method, path, body=None, kind="application/json", token=None):
        """As the administrator, or as whoever has the token; the answer's JSON. An error status is an error."""
        answer = requests.request(
            method, self.url + path, data=None if body is None else json.dumps(body), verify=str(self.pki.ca), timeout=30,
            cert=None if token else tuple(map(str, self.admin)),
            headers={"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {})})
        if not answer.ok:
            raise requests.HTTPError(f"{method} {path}: {answer.status_code} {answer.text}", response=answer)
        return answer.json()

    def kubeconfig(self, user=None, name="admin", namespace="default", server=None):
        """The path of one, for the administrator unless `user` (the fields below users[].user) is given."""
        certificate, key = self.admin
        user = user or {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "here", "cluster": {"server": server or self.url,
                                                      "certificate-authority-data": _base64(self.pki.ca)}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": name, "namespace": namespace}}]}))
        return path

    def account(self, name, rules=(), namespace="default"):
        """Makes a ServiceAccount that may do what the rules of a Role say, in its namespace."""
        inside = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        if rules:
            self.ask("POST", f"{inside}/roles", {"metadata": {"name": name}, "rules": list(rules)})
            self.ask("POST", f"{inside}/rolebindings", {
                "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]})

    def token(self, account, namespace="default", seconds=600):
        return self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
                        {"spec": {"expirationSeconds": seconds}})["status"]["token"]

    def compact(self):
        """etcd forgets every revision but the present one."""
        def etcd(path, body):
            answer = requests.post(self.etcd_url + path, json=body, timeout=30)
            answer.raise_for_status()
            return answer.json()
        revision = etcd("/v3/kv/range", {"key": base64.b64encode(b"/").decode()})["header"]["revision"]
        etcd("/v3/kv/compaction", {"revision": revision, "physical": True})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _base64(path):
    return base64.b64encode(path.read_bytes()).decode()
