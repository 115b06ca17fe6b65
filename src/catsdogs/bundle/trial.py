"""A bundle as its receiver meets it: unpacked elsewhere, installed from what it says, served and tested."""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from catsdogs.bundle.archive import unpack
from catsdogs.errors import CatsdogsError
from catsdogs.log import event


def try_out(bundle: Path) -> str:
    """What the smoke test of the unpacked bundle said. Raises CatsdogsError naming the step that failed."""
    with tempfile.TemporaryDirectory(prefix="catsdogs-bundle-") as temporary:
        event("unpacking", bundle=bundle)
        folder = unpack(bundle, Path(temporary))
        python = Path(temporary) / "venv" / "bin" / "python"
        event("installing", packages=folder / "constraints.txt")
        _step("venv", folder, sys.executable, "-m", "venv", str(python.parent.parent))
        # -I: nothing of the checkout that this was started from is found, whatever PYTHONPATH says.
        _step("install", folder, str(python), "-I", "-m", "pip", "install", "-q", "-c", "constraints.txt", ".[serve]")
        _step("golden photos", folder, str(python), "-I", "-m", "catsdogs", "lineage", "models/model.pt", "--check")
        return _served(folder, python)


def _served(folder: Path, python: Path) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    event("serving", port=int(port))
    with (folder.parent / "serve.log").open("wb") as log, subprocess.Popen(
            [python, "-I", "-m", "catsdogs", "serve", "--enable-real-model", "--model-path", "models/model.pt",
             "--port", port], cwd=folder, stdout=log, stderr=log) as server:
        try:
            return _step("smoke test", folder, str(python), "-I", "-m", "catsdogs", "smoke-test", "--base-url",
                         f"http://127.0.0.1:{port}", "--model-path", "models/model.pt")
        finally:
            server.terminate()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()


def _step(name: str, folder: Path, *command: str) -> str:
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip().splitlines()[-12:]
        raise CatsdogsError(f"The unpacked bundle fails at {name}:\n" + "\n".join(said))
    return answer.stdout.strip()
