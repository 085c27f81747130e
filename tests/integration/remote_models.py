"""Models in stores: putting them there, and what a server that reads them serves and says."""
import contextlib

import requests
from models import half_plus_two, release, write_manifest

from conftest import wait_for

# Quick to lose patience, so that a fault costs a test little.
IMPATIENT = {"poll_interval": "10m", "stall_timeout": "1s", "retry_delay": "10ms", "retries": 2, "connect_timeout": "2s"}


def padded(shift):
    """A model with `shift` in its answer, and enough bytes to be cut in the middle."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper
    model = onnx.load_from_string(half_plus_two())
    model.graph.initializer.remove(model.graph.initializer[1])
    model.graph.initializer.append(numpy_helper.from_array(np.array(float(shift), "f"), "two"))
    model.doc_string = f"{shift} " * 100_000
    helper.set_model_props(model, {"shift": str(shift)})
    return model.SerializeToString()


def put_version(store, tmp_path, version, manifest=True, beside=()):
    """`beside` names more files of the version."""
    folder = release(tmp_path / "made", "digits", version, padded(version), manifest=not beside)
    for name in beside:
        (folder / name).write_bytes(b"of no use" * 1_000)
    if beside:
        write_manifest(folder, "onnx", "model.onnx")
    for name in ["model.onnx", *beside, *(["manifest.json"] if manifest else [])]:
        store.put(f"{version}/{name}", (folder / name).read_bytes())


def answer(server):
    reply = requests.post(server.url + "/v1/models/digits:predict", json={"instances": [4.0]}, timeout=10)
    return reply.json().get("predictions", [None])[0], reply


def serves(server, version):
    """Its answer is that of the version: 4 / 2 + version."""
    return wait_for(f"version {version} serving", lambda: answer(server)[0] == 2.0 + version, timeout=60)


def refresh(server):
    assert requests.post(server.admin + "/api/v1/models/digits/refresh", timeout=10).status_code == 202


def reason(server, version):
    return {v["version"]: v["reason"] for v in server.model("digits")["versions"]}.get(version, "")


@contextlib.contextmanager
def environment(monkeypatch, env):
    with monkeypatch.context() as patch:
        for name in ("AWS_PROFILE", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "http_proxy", "https_proxy",
                     "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name, value in env.items():
            patch.setenv(name, value)
        yield
