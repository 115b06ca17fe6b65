"""The servers of `make bench-serving`: how each is started, in which environment, with which model."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load import first_answer

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
PEERS_VENV, SERVE_VENV = ROOT / "build" / "peers-venv", ROOT / "build" / "serve-venv"
LOGS = ROOT / "build" / "serving" / "logs"


IN_FLOATS = "baseline in floats"
PRETRAINED = "pretrained"  # what more accuracy costs; only where a model is given
MODELS = ("baseline", IN_FLOATS, "fast", PRETRAINED)


@dataclass(frozen=True)
class Contestant:
    name: str
    model: str  # a name of MODELS
    said: str  # in the table
    command: tuple[str, ...]  # {port} and {model} are filled in
    file: str = ".pt"  # which file of the model it opens


def _peer(name: str, model: str, said: str, *command: str, file: str = ".pt") -> Contestant:
    return Contestant(name, model, said, (str(PEERS_VENV / "bin" / command[0]), *command[1:]), file)


def _ours(name: str, model: str, said: str) -> Contestant:
    return Contestant(name, model, said, (str(SERVE_VENV / "bin" / "catsdogs"), "serve", "--enable-real-model",
                                          "--port", "{port}", "--model-path", "{model}"))


CONTESTANTS = (
    _peer("eager", "baseline", "FastAPI + eager torch, as people write it",
          "uvicorn", "eager:app", "--port", "{port}", "--no-access-log"),
    _peer("lit-torch", "baseline", "LitServe, eager torch, batching", "python", "lit_torch.py"),
    _peer("bento-torch", "baseline", "BentoML, eager torch, adaptive batching",
          "bentoml", "serve", "bento_torch:Service", "--host", "127.0.0.1", "--port", "{port}"),
    _peer("lit-openvino", IN_FLOATS, "LitServe + OpenVINO: the tuned peer", "python", "lit_openvino.py", file=".onnx"),
    _peer("lit-openvino-integers", "baseline", "LitServe + OpenVINO, on our file", "python", "lit_openvino.py",
          file=".onnx"),
    _ours("ours", "baseline", "`catsdogs serve`"),
    _peer("lit-openvino-fast", "fast", "LitServe + OpenVINO, on our file", "python", "lit_openvino.py",
          file=".onnx"),
    _ours("ours-fast", "fast", "`catsdogs serve`"),
    _ours("ours-pretrained", PRETRAINED, "`catsdogs serve`"),
)


@contextmanager
def running(contestant: Contestant, model: Path, port: int, photo: bytes, label: str) -> Iterator[
        tuple[subprocess.Popen[bytes], float]]:
    """The server, and the seconds from its exec to the first right answer. Stops all its processes at the end."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = model.with_suffix(contestant.file)
    command = [part.format(port=port, model=path) for part in contestant.command]
    environment = os.environ | {"BENCH_MODEL": str(path), "BENCH_PORT": str(port), "BENTOML_DO_NOT_TRACK": "1",
                                "BENTOML_HOME": str(LOGS.parent / "bentoml")}
    with open(LOGS / f"{contestant.name}.log", "wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=PEERS, env=environment, stdout=log, stderr=log,
                                   start_new_session=True)
    try:
        first_answer(process, port, photo, label)
        yield process, time.perf_counter() - started
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what a peer has left behind is of its session, which we began
    except ProcessLookupError:
        pass
    process.wait()


def install() -> None:
    """Both environments, made or brought up to date."""
    uv = Path(sys.executable).parent / "uv"
    for folder, what in (
        (PEERS_VENV, ["--compile-bytecode", "-r", PEERS / "requirements.txt"]),
        (SERVE_VENV, ["--compile-bytecode", "--reinstall-package", "catsdogs", "-c", ROOT / "constraints.txt",
                      f"{ROOT}[serve]"]),
    ):
        if not (folder / "bin" / "python").exists():
            subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", folder / "bin" / "python", *what], check=True)


def installed_bytes() -> int:
    """Of the environment that `pip install catsdogs[serve]` makes, compiled bytecode included."""
    return sum(path.stat().st_size for path in SERVE_VENV.rglob("*") if path.is_file() and not path.is_symlink())


def missing_program() -> str | None:
    return None if shutil.which("wrk") else "wrk is not installed: apt-get install wrk"
