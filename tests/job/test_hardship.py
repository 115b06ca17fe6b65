"""A bucket that says no, and machines that are taken away."""

import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from catsdogs.cli import main
from catsdogs.stores.folder import FolderStore
from catsdogs.weights import load_weights
from tests.job.test_job import quiet, raw, upload  # noqa: F401  (fixtures)

EPOCHS = 30


@contextmanager
def forbidding() -> Iterator[str]:
    """Address of an object store that knows nobody."""
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PUT = do_GET

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_bucket_without_permission_is_said_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with forbidding() as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        assert main(["job", "--bucket", "gs://private", "--commit", "c", "--work-dir", str(tmp_path / "work")]) == 1
    error = capsys.readouterr().err
    assert "catsdogs job: No permission for GET" in error and "a role that may read and create" in error
    assert "Traceback" not in error and not (tmp_path / "work" / "models").exists()


def start(bucket: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "catsdogs", "job", "--bucket", str(bucket), "--commit", "first", "--work-dir",
               str(folder), "--image-size", "32", "--model-variant", "baseline", "--epochs", str(EPOCHS),
               "--batch-size", "16", "--force-cpu", "--precision", "float32"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, env=os.environ | {"MLFLOW_TRACKING_URI": "none"})


def checkpoints(bucket: Path) -> set[str]:
    return {entry.key for entry in FolderStore(bucket).entries("checkpoints/")}


def test_evicted_twice_the_third_machine_ends_with_the_weights_of_an_undisturbed_one(
    raw: Path, tmp_path: Path  # noqa: F811
) -> None:
    whole, often = tmp_path / "whole", tmp_path / "often"
    for bucket in (whole, often):
        upload(str(bucket), raw)
    for number in range(2):
        before, folder = checkpoints(often), tmp_path / f"machine{number}"
        process = start(often, folder)
        while process.poll() is None and not checkpoints(often) - before:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it could be taken away"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(folder)
    third, undisturbed = start(often, tmp_path / "machine2"), start(whole, tmp_path / "one")
    _, said = third.communicate()
    assert third.returncode == 0, said
    assert '"event": "resumed"' in said
    _, said = undisturbed.communicate()
    assert undisturbed.returncode == 0 and '"event": "resumed"' not in said
    states = [load_weights(bucket / "models" / "first" / "model.pt")[0].state_dict() for bucket in (whole, often)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert checkpoints(often) == set()
