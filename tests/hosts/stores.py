"""Real stores on loopback: MinIO, fake-gcs-server, HDFS, nginx, mlflow server, a GlusterFS volume. `./dev install test` brings
them into the cache; a server that is not there raises HostError with that advice.

Each takes put(path, bytes) and remove(path) below one model's folder, and says as `uri`, `storage` and `env` how Leadsman
reaches it; through(port) gives the same by way of a proxy on that port.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.parse

import requests

from .process import HostError, HostProcess, HttpHost, free_port
from .tcp_proxy import TcpProxy

CACHE = pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")
HDFS_JARS = CACHE / "stores/hdfs"


def _program(name, *places):
    for candidate in (*places, shutil.which(name)):
        if candidate and os.access(candidate, os.X_OK):
            return str(candidate)
    raise HostError(f"{name} is not here; `./dev install test` brings it")


class Minio(HttpHost):
    """S3. Users beside the root one are made by MinIO's own admin API."""

    ready_path = "/minio/health/cluster"
    root = ("leadsman-root", "leadsman-root-secret")

    def __init__(self, folder, bucket="models", env=None, timeout=20):
        from minio import Minio as Client
        super().__init__()
        folder = pathlib.Path(folder)
        (folder / "minio").mkdir(parents=True, exist_ok=True)
        self.folder, self.settings, self.timeout = folder, dict(env or {}), timeout
        self.run()
        self.client = Client(f"127.0.0.1:{self.port}", *self.root, secure=False)
        self.bucket = bucket
        self.client.make_bucket(bucket_name=bucket)
        self.uri = f"s3://{bucket}/digits"
        self.env = self.keys(*self.root)

    def run(self):
        """Also after stop(): on the same port, with what was there."""
        binary = _program("minio", CACHE / "stores/bin/minio")
        self.start("minio", [binary, "server", "--quiet", "--address", f"127.0.0.1:{self.port}",
                             "--console-address", f"127.0.0.1:{free_port()}", self.folder / "minio"], self.folder / "minio.log",
                   self.timeout, env={"MINIO_ROOT_USER": self.root[0], "MINIO_ROOT_PASSWORD": self.root[1],
                                 "MINIO_UPDATE": "off", "MINIO_BROWSER": "off", **self.settings})

    def tell(self, url):
        """From now on MinIO itself posts to `url` about each manifest that comes into the bucket."""
        from minio.notificationconfig import NotificationConfig, QueueConfig, SuffixFilterRule
        self.stop()
        self.settings |= {"MINIO_NOTIFY_WEBHOOK_ENABLE_TESTS": "on", "MINIO_NOTIFY_WEBHOOK_ENDPOINT_TESTS": url}
        self.run()
        self.client.set_bucket_notification(bucket_name=self.bucket, config=NotificationConfig(queue_config_list=[
            QueueConfig(queue="arn:minio:sqs::TESTS:webhook", events=["s3:ObjectCreated:*"],
                        suffix_filter_rule=SuffixFilterRule("/manifest.json"))]))

    @staticmethod
    def keys(access, secret):
        return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}

    def session(self, access, secret):
        """Temporary keys of a user: access key, secret key, session token."""
        from minio.credentials import AssumeRoleProvider
        found = AssumeRoleProvider(sts_endpoint=self.url, access_key=access, secret_key=secret).retrieve()
        return found.access_key, found.secret_key, found.session_token

    def admin(self):
        from minio import MinioAdmin
        from minio.credentials import StaticProvider
        return MinioAdmin(endpoint=f"127.0.0.1:{self.port}", credentials=StaticProvider(*self.root), secure=False)

    @property
    def storage(self):
        return {"s3": {"endpoint": self.url}}

    def through(self, port):
        return self.uri, {"s3": {"endpoint": f"http://127.0.0.1:{port}"}}, self.env

    def put(self, path, content):
        import io
        self.client.put_object(bucket_name=self.bucket, object_name=f"digits/{path}", data=io.BytesIO(content),
                               length=len(content))

    def remove(self, path):
        self.client.remove_object(bucket_name=self.bucket, object_name=f"digits/{path}")


class FakeGcs(HttpHost):
    """Google Cloud Storage's JSON API, as fake-gcs-server speaks it."""

    ready_path = "/_internal/healthcheck"

    def __init__(self, folder, bucket="models", timeout=20):
        super().__init__()
        binary = _program("fake-gcs-server", CACHE / "stores/bin/fake-gcs-server")
        self.start("fake-gcs-server", [binary, "-scheme", "http", "-host", "127.0.0.1", "-port", self.port, "-backend",
                                       "memory", "-log-level", "warn", "-public-host", f"127.0.0.1:{self.port}"],
                   pathlib.Path(folder) / "gcs.log", timeout)
        self.bucket = bucket
        requests.post(f"{self.url}/storage/v1/b", json={"name": bucket}, timeout=10).raise_for_status()
        self.uri = f"gs://{bucket}/digits"
        self.env = {}

    @property
    def storage(self):
        return {"gcs": {"endpoint": self.url}}

    def through(self, port):
        return self.uri, {"gcs": {"endpoint": f"http://127.0.0.1:{port}"}}, {}

    def put(self, path, content):
        requests.post(f"{self.url}/upload/storage/v1/b/{self.bucket}/o", data=content, timeout=20,
                      params={"uploadType": "media", "name": f"digits/{path}"}).raise_for_status()

    def remove(self, path):
        name = urllib.parse.quote(f"digits/{path}", safe="")
        requests.delete(f"{self.url}/storage/v1/b/{self.bucket}/o/{name}", timeout=10).raise_for_status()


class Hdfs(HttpHost):
    """A NameNode and a DataNode in one JVM, reached by WebHDFS."""

    ready_path = "/webhdfs/v1/?op=LISTSTATUS"

    def __init__(self, folder, timeout=60):
        super().__init__()
        if not any(HDFS_JARS.glob("hadoop-client-minicluster-*.jar")):
            raise HostError("Hadoop is not here; `./dev install test` brings it")
        # Free ports are taken by the cluster itself, but for the one that is asked for readiness.
        self.start("hdfs", [_program("java"), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{HDFS_JARS}/*",
                            "org.apache.hadoop.mapreduce.MiniHadoopClusterManager", "-nomr", "-format", "-nnport", "0",
                            "-nnhttpport", self.port, "-datanodes", "1", "-D", "dfs.permissions.enabled=false", "-D",
                            f"hdfs.minidfs.basedir={pathlib.Path(folder) / 'hdfs'}"],
                   pathlib.Path(folder) / "hdfs.log", timeout)
        self.host.wait_until(self._has_datanode, timeout, "joined by its DataNode")
        self.uri = f"webhdfs://127.0.0.1:{self.port}/models/digits"
        self.env = {"HADOOP_USER_NAME": "trainer"}
        self.storage = {}

    def _has_datanode(self):
        answer = requests.get(f"{self.url}/jmx", params={"qry": "Hadoop:service=NameNode,name=FSNamesystemState"}, timeout=5)
        return any(bean.get("NumLiveDataNodes", 0) > 0 for bean in answer.json().get("beans", []))

    def through(self, port):
        return "hdfs://namenode.invalid:8020/models/digits", {"hdfs": {"endpoints": [f"http://127.0.0.1:{port}"]}}, self.env

    def _url(self, path, op):
        return f"{self.url}/webhdfs/v1/models/digits/{urllib.parse.quote(path)}?op={op}&user.name=trainer"

    def put(self, path, content):
        def datanode():
            # The NameNode knows its DataNode and may take it for too busy: on a machine under load it changes its mind.
            return requests.put(self._url(path, "CREATE&overwrite=true"), allow_redirects=False, timeout=20).headers.get("Location")

        at = self.host.wait_until(datanode, 60, f"naming a DataNode for {path}")
        requests.put(at, data=content, timeout=20).raise_for_status()

    def remove(self, path):
        requests.delete(self._url(path, "DELETE"), timeout=10).raise_for_status()


class HdfsPair(Hdfs):
    """Two NameNodes, of which one is active, and a DataNode, in one JVM that HdfsPair.java starts. Permissions are on; the models
    are the trainer's. secure(True) asks everybody who reads for a delegation token, as a cluster with Kerberos does."""

    ready_path = "/ready"

    def __init__(self, folder, timeout=90):
        HttpHost.__init__(self)
        if not any(HDFS_JARS.glob("hadoop-client-minicluster-*.jar")):
            raise HostError("Hadoop is not here; `./dev install test` brings it")
        control, self.ports = self.url, [free_port(), free_port()]
        source = pathlib.Path(__file__).with_name("HdfsPair.java")
        # Nobody answers for the realm: tickets are not asked for, tokens are.
        self.start("hdfs", [_program("java"), "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                            "-Djava.security.krb5.realm=TESTS", "-Djava.security.krb5.kdc=127.0.0.1", "-cp", f"{HDFS_JARS}/*",
                            source, pathlib.Path(folder) / "hdfs", self.port, *self.ports], pathlib.Path(folder) / "hdfs.log",
                   timeout)
        self.control = control
        self.activate(0)
        self.uri = "hdfs://pair/models/digits"
        self.env = {"HADOOP_USER_NAME": "trainer"}
        self.storage = self.at(*self.ports)
        self.ask("PUT", "/models", "MKDIRS", user="root")
        self.ask("PUT", "/models", "SETOWNER&owner=trainer", user="root")

    @staticmethod
    def at(*ports):
        return {"hdfs": {"endpoints": [f"http://127.0.0.1:{port}" for port in ports]}}

    def activate(self, which):
        """The other one stands by from then on."""
        requests.get(f"{self.control}/active/{which}", timeout=30).raise_for_status()
        self.url = f"http://127.0.0.1:{self.ports[which]}"

    def secure(self, on):
        requests.get(f"{self.control}/secure/{on}", timeout=30).raise_for_status()

    def ask(self, method, path, op, user="trainer"):
        answer = requests.request(method, f"{self.url}/webhdfs/v1{path}?op={op}&user.name={user}", timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def token(self):
        """A delegation token of the trainer's."""
        return self.ask("GET", "/", "GETDELEGATIONTOKEN")["Token"]["urlString"]

    def cancel(self, token):
        requests.get(f"{self.control}/cancel/{token}", timeout=30).raise_for_status()


class WebServer(HttpHost):
    """nginx over a folder; with `password` the folder asks for it, with `tokens` for a bearer token that accept() has named
    last. With `certificate` (a file with key and certificate) it
    speaks TLS too, on `tls_port`. /loop leads to itself."""

    ready_path = "/ready"

    def __init__(self, folder, password=None, tokens=False, certificate=None, timeout=10):
        super().__init__()
        self.tls_port = free_port()
        folder = pathlib.Path(folder)
        self.root = folder / "www"
        (self.root / "digits").mkdir(parents=True, exist_ok=True)
        auth = ""
        if password:
            (folder / "users").write_text(f"{password[0]}:{{PLAIN}}{password[1]}\n")
            auth = f'auth_basic "models"; auth_basic_user_file {folder}/users;'
        if tokens:
            self.accepted = folder / "accepted"
            self.accepted.mkdir()
            auth = f'if (!-f "{self.accepted}/$http_authorization") {{ return 401; }}'
        tls = ""
        if certificate:
            tls = f"listen 127.0.0.1:{self.tls_port} ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate};"
        places = "".join(f"{name}_temp_path {folder}/{name};" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.error warn;\n"
            f"events {{}} http {{ access_log off; {places} server {{ listen 127.0.0.1:{self.port};\n"
            f"{tls} location /loop {{ return 302 /loop; }} location = /ready {{ return 200; }} location / {{ root {self.root}; {auth} }} }} }}\n")
        binary = _program("nginx", CACHE / "stores/nginx/usr/sbin/nginx", "/usr/sbin/nginx")
        # Its workers must be able to read what pytest's folders keep to their owner.
        user = ["-g", "user root;"] if os.getuid() == 0 else []
        self.start("nginx", [binary, "-e", folder / "nginx.error", "-p", folder, "-c", folder / "nginx.conf", *user],
                   folder / "nginx.log", timeout)
        self.uri = f"{self.url}/digits"
        self.storage, self.env = {}, {}
        self.versions = {}

    def accept(self, token):
        for old in self.accepted.iterdir():
            old.unlink()
        (self.accepted / f"Bearer {token}").touch()

    def through(self, port):
        return f"http://127.0.0.1:{port}/digits", {}, {}

    def put(self, path, content):
        target = self.root / "digits" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(target.name + ".new")
        beside.write_bytes(content)
        beside.rename(target)
        version = path.split("/")[0]
        if path.endswith("/manifest.json"):
            self.versions[int(version)] = int(version)
            self.write_index()

    def write_index(self):
        (self.root / "digits/versions.json").write_text(json.dumps({"versions": list(self.versions.values())}))

    def remove(self, path):
        (self.root / "digits" / path).unlink()


class MlflowServer(HttpHost):
    """`mlflow server` with its artifact proxy, out of the models' Python environment. Slow to start: model() makes a
    registered model of a new name, so that tests can share one.

    With `guarded` it is MLflow's own --app-name basic-auth, and mlflow_bearer.py beside it: `reader` is a user and a password
    that may read, `accept(token)` says which bearer token may."""

    ready_path = "/health"

    def __init__(self, folder, guarded=False, timeout=180):
        super().__init__()
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        binary = _program("mlflow", CACHE / "venv-models/bin/mlflow")
        environment = {"PATH": f"{pathlib.Path(binary).parent}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true",
                       "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.admin, self.reader, options = None, None, []
        if guarded:
            options = ["--app-name", "basic-auth"]
            self.admin, self.reader = ("admin", "admin-pass:word"), ("reader", "reader pass:wörd")
            self.token_file = folder / "token"
            self.accept("")
            (folder / "auth.ini").write_text(
                "[mlflow]\ndefault_permission = READ\n"
                f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = {self.admin[0]}\n"
                f"admin_password = {self.admin[1]}\nauthorization_function = mlflow_bearer:authenticate\n"
                "auth_cache_ttl_seconds = 300\n")  # a password costs much time to check
            environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests",
                            "MLFLOW_BEARER_FILE": str(self.token_file), "MLFLOW_BEARER_USER": self.reader[0],
                            "PYTHONPATH": str(pathlib.Path(__file__).parent)}
        self.start("mlflow server", [binary, "server", *options, "--host", "127.0.0.1", "--port", self.port, "--workers", "1",
                                     "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination",
                                     folder / "artifacts"], folder / "mlflow.log", timeout, env=environment)
        if guarded:
            self.post("users/create", username=self.reader[0], password=self.reader[1])
        self.experiment = self.post("experiments/create", name="tests")["experiment_id"]

    def accept(self, token):
        self.token_file.write_text(token)

    def post(self, path, **body):
        answer = requests.post(f"{self.url}/api/2.0/mlflow/{path}", json=body, timeout=30, auth=self.admin)
        if not answer.ok:
            raise HostError(f"mlflow refused {path}: {answer.text}")
        return answer.json()

    def model(self, name, bucket=None):
        return MlflowModel(self, name, bucket)


class MlflowModel:
    """One registered model: what a test of a store needs. Its artifacts are kept by the server or, without its help, in
    `bucket`, a Minio or a FakeGcs."""

    def __init__(self, server, name, bucket=None):
        self.server, self.name, self.port, self.url = server, name, server.port, server.url
        self.uri, self.env = f"models:/{name}", {}
        self.storage = {"mlflow": {"tracking_uri": server.url}}
        self.runs, self.bucket, self.experiment = {}, bucket, server.experiment
        server.post("registered-models/create", name=name)
        if bucket:
            self.experiment = server.post("experiments/create", name=name, artifact_location=bucket.uri)["experiment_id"]

    def through(self, port):
        return self.uri, {"mlflow": {"tracking_uri": f"http://127.0.0.1:{port}"}}, {}

    def put(self, path, content):
        """"3/model.onnx": version 3 is registered when its manifest.json has come, the last of its files."""
        version, inside = path.split("/", 1)
        if version not in self.runs:
            self.runs[version] = self.server.post("runs/create", experiment_id=self.experiment)["run"]["info"]
        run = self.runs[version]
        if self.bucket:
            self.bucket.put(f"{run['artifact_uri'].removeprefix(self.bucket.uri + '/')}/model/{inside}", content)
        else:
            place = run["artifact_uri"].split(":", 1)[1].lstrip("/")
            requests.put(f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{place}/model/{inside}", data=content,
                         timeout=30, auth=self.server.admin).raise_for_status()
        if inside == "manifest.json":
            made = self.server.post("model-versions/create", name=self.name, source=f"{run['artifact_uri']}/model",
                                    run_id=run["run_id"])
            assert str(made["model_version"]["version"]) == version, "versions are registered in order"

    def alias(self, alias, version):
        self.server.post("registered-models/alias", name=self.name, alias=alias, version=str(version))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Gluster:
    """One brick, served by glusterfsd on loopback and mounted by FUSE twice: at `mount` through `proxy`, at `elsewhere` as a
    training job on another machine has it. Needs root and /dev/fuse."""

    def __init__(self, folder, timeout=30):
        self.folder, self.timeout, self.port = pathlib.Path(folder), timeout, free_port()
        self.mount, self.elsewhere, self.brick_folder = (self.folder / name for name in ("mount", "elsewhere", "brick"))
        for made in (self.mount, self.elsewhere, self.brick_folder):
            made.mkdir(parents=True)
        (self.folder / "brick.vol").write_text(
            f"volume posix\n type storage/posix\n option directory {self.brick_folder}\nend-volume\n"
            f"volume locks\n type features/locks\n subvolumes posix\nend-volume\n"
            f"volume {self.brick_folder}\n type debug/io-stats\n subvolumes locks\nend-volume\n"
            f"volume server\n type protocol/server\n option transport-type tcp\n"
            f" option transport.socket.bind-address 127.0.0.1\n option transport.socket.listen-port {self.port}\n"
            f" option auth.addr.{self.brick_folder}.allow 127.0.0.1\n subvolumes {self.brick_folder}\nend-volume\n")
        self.proxy = TcpProxy(self.port)
        self.clients = []
        self.run()
        try:
            self._mount(self.mount, self.proxy.port)
            self._mount(self.elsewhere, self.port)
        except BaseException:
            self.stop()
            raise

    def run(self):
        """The brick; also after kill(), on the same port and with what was there."""
        self.brick = HostProcess("glusterfsd", [_program("glusterfsd", "/usr/sbin/glusterfsd"), "-N", "-f",
                                                self.folder / "brick.vol", "-l", self.folder / "brick.log", "-p",
                                                self.folder / "brick.pid"], self.folder / "glusterfsd.log")
        try:
            self.brick.wait_until(lambda: _listens(self.port), self.timeout)
        except BaseException:
            self.brick.stop()
            raise

    def kill(self):
        self.brick.process.kill()
        self.brick.process.wait(10)

    def _mount(self, place, port):
        # Who hears nothing for two seconds gives the connection up, instead of after Gluster's 42.
        volume = self.folder / f"{place.name}.vol"
        volume.write_text(
            f"volume client\n type protocol/client\n option transport-type tcp\n option remote-host 127.0.0.1\n"
            f" option remote-port {port}\n option remote-subvolume {self.brick_folder}\n option ping-timeout 2\nend-volume\n")
        client = HostProcess("glusterfs", [_program("glusterfs", "/usr/sbin/glusterfs"), "-N", "-f", volume, "-l",
                                           self.folder / f"{place.name}.log", place], self.folder / f"{place.name}.out")
        self.clients.append((place, client))
        client.wait_until(place.is_mount, self.timeout, "mounted")

    def stop(self):
        for place, client in self.clients:
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
            client.stop()
        self.brick.stop()
        self.proxy.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def gluster_impossible():
    """Why a GlusterFS volume cannot be mounted on this machine; "" when it can."""
    if os.getuid() != 0:
        return "mounting needs root"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True)
        if probe.returncode != 0:
            return "mounting is not allowed"
        subprocess.run(["umount", folder], check=False)
    return ""


def _listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
