"""NVIDIA's tritonserver, CPU only, out of the nvidia-pytriton wheel (which needs no root and no container), with the small
ONNX Runtime backend of bench/triton_ort_backend. Prepared once into the cache; about 55 MB to download."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import zipfile

from .process import HostError, HttpHost, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEEL = "nvidia-pytriton==0.5.14"  # tritonserver 2.51.0
WHEEL_SHA256 = "58b21657856ecc6c971c74beccfa638662799084c15a52518e8e3143168ae136"
BACKEND_SOURCE = ROOT / "bench" / "triton_ort_backend" / "backend.cc"


def cache_folder():
    return pathlib.Path(os.environ.get("LEADSMAN_CACHE") or pathlib.Path.home() / ".cache" / "leadsman")


def _run(command, what):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise HostError(f"{what} failed: {' '.join(str(word) for word in command)}\n{result.stdout}{result.stderr}")


def _fetch_server(target):
    work = target.with_name(target.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"fetching {WHEEL} (55 MB)", flush=True)
    _run(["/usr/bin/python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
          "--only-binary=:all:", "--dest", work, WHEEL], "downloading tritonserver from PyPI")
    wheel = next(work.glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise HostError(f"{wheel.name} has sha256 {digest}, pinned is {WHEEL_SHA256}; nothing was unpacked")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(("pytriton/tritonserver/bin/", "nvidia_pytriton.libs/"))]
        archive.extractall(work, names)
    wheel.unlink()
    (work / "pytriton/tritonserver/bin/tritonserver").chmod(0o755)
    work.rename(target)


def _build_backend(target, runtime):
    """The backend lies beside its own copy of the runtime, so that neither depends on where the other was built."""
    print("building the ONNX Runtime backend for Triton", flush=True)
    work = target.with_name(target.name + ".part")
    shutil.rmtree(work, ignore_errors=True)
    (work / "ort").mkdir(parents=True)
    library = (runtime / "lib" / "libonnxruntime.so").resolve()
    shutil.copyfile(library, work / "ort" / "libonnxruntime.so.1")
    _run(["g++", "-O2", "-g1", "-std=c++17", "-Wall", "-Wextra", "-shared", "-fPIC", f"-I{runtime / 'include'}", BACKEND_SOURCE, "-o",
          work / "ort" / "libtriton_ort.so", work / "ort" / "libonnxruntime.so.1", "-Wl,-rpath,$ORIGIN"], "building the Triton backend")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)


def prepare():
    """(server root, backend folder); downloads and builds what is not there yet."""
    runtime = pathlib.Path(os.environ.get("LEADSMAN_RUNTIMES") or cache_folder() / "runtimes") / "onnxruntime"
    if not (runtime / "stamp").exists():
        raise HostError("ONNX Runtime is not here; `./dev install bench` fetches it")
    folder = cache_folder() / "triton"
    folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(BACKEND_SOURCE.read_bytes() + (runtime / "stamp").read_bytes()).hexdigest()[:12]
    server, backends = folder / f"server-{WHEEL_SHA256[:12]}", folder / f"backends-{key}"
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not server.exists():
            _fetch_server(server)
        if not backends.exists():
            _build_backend(backends, runtime)
    return server, backends


class Triton(HttpHost):
    """A server of the model repository at `repository` (Triton's layout). `url` is its HTTP address, `grpc_port` that of gRPC
    on 127.0.0.1."""

    def __init__(self, repository, folder, timeout=60):
        server, backends = prepare()
        super().__init__()
        self.grpc_port = free_port()
        binary = server / "pytriton/tritonserver/bin/tritonserver"
        self.start("triton", [
            binary, f"--model-repository={repository}", f"--backend-directory={backends}", "--http-address=127.0.0.1",
            f"--http-port={self.port}", "--grpc-address=127.0.0.1", f"--grpc-port={self.grpc_port}", "--allow-metrics=false", "--log-verbose=0"],
            pathlib.Path(folder) / "triton.log", timeout,
            env={"LD_LIBRARY_PATH": str(server / "nvidia_pytriton.libs"), "OMP_NUM_THREADS": "1"})
