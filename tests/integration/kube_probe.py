"""The room kube, driven from a test: build/dev/bin/kube_probe answers a line of JSON with a line of JSON."""
import json
import os
import subprocess
import threading
from pathlib import Path

from conftest import BINARY

PROGRAM = BINARY.with_name("kube_probe")
CONFIG_MAPS = {"plural": "configmaps", "kind": "ConfigMap"}
DEPLOYMENTS = {"group": "apps", "plural": "deployments", "kind": "Deployment"}
SECRETS = {"plural": "secrets", "kind": "Secret"}


class KubeError(AssertionError):
    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['message']}")
        self.code, self.message = answer["code"], answer["message"]


class KubeProbe:
    """call("get", resource=CONFIG_MAPS, ns="default", name="a") → the answer; KubeError when it is an error."""

    def __init__(self, folder, **access):
        assert PROGRAM.exists(), f"{PROGRAM} is missing: run ./dev build dev"
        self.log = Path(folder) / f"kube_probe-{os.urandom(4).hex()}.log"
        self.lock = threading.Lock()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            self.access = self.call("connect", **access)
        except BaseException:
            self.kill()
            raise

    def call(self, do, **arguments):
        with self.lock:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        assert line, f"kube_probe ended:\n{self.log.read_text()}"
        answer = json.loads(line)
        if "code" in answer:
            raise KubeError(answer)
        return answer

    def object(self, do, **arguments):
        return self.call(do, **arguments)["object"]

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        """Ends as a process that is told to: what it has started is stopped in order."""
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(30) == 0, self.log.read_text()
            self.process.stdout.close()
