"""Replicas that are plain processes, `catsdogs serve`, for machines without Docker. An "image" is a model file.

The file is copied and named by its digest, so that the next training does not change what runs, nor what a rollback
goes back to.
"""

import re
import shutil
import sys
from collections import deque
from pathlib import Path

from catsdogs.clusters import detached
from catsdogs.clusters.replicas import Replica
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import atomic_write, sha256_file

DIGEST = re.compile(r"(?:.*@)?sha256:([0-9a-f]{64})")


class Processes:
    kind = "process"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pinned(self, image: str) -> str:
        if found := DIGEST.fullmatch(image):
            if not self._model(found[1]).exists():
                raise UsageError(f"{self._folder} holds no model {image}: name the file itself.")
            return f"model@sha256:{found[1]}"
        path = Path(image).with_suffix(".onnx")
        if not path.is_file():
            raise UsageError(f"--image {image}: {path} does not exist; without containers, the image is a model file.")
        digest = sha256_file(path)
        copy = self._model(digest)
        if not copy.exists():
            with path.open("rb") as source, atomic_write(copy) as file:
                shutil.copyfileobj(source, file)
        if sha256_file(copy) != digest:
            copy.unlink()
            raise CatsdogsError(f"{path} changed while it was being copied: run the same command again.")
        return f"model@sha256:{digest}"

    def start(self, image: str, name: str) -> Replica:
        self.sweep(name)
        port = detached.free_port()
        model = self._model(image.rpartition(":")[2])
        command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--host", "127.0.0.1", "--port",
                   str(port), "--model-path", str(model)]
        log = self._log(name)
        log.unlink(missing_ok=True)
        handle = detached.start(command, log)
        self._pid(name).write_text(handle)
        return Replica(name=name, image=image, address=f"http://127.0.0.1:{port}", handle=handle)

    def stop(self, replica: Replica) -> None:
        detached.stop(replica.handle)
        self._pid(replica.name).unlink(missing_ok=True)

    def alive(self, replica: Replica) -> bool:
        return detached.alive(replica.handle)

    def sweep(self, name: str) -> None:
        if self._pid(name).exists():
            detached.stop(self._pid(name).read_text())
            self._pid(name).unlink()

    def logs(self, replica: Replica, lines: int) -> list[str]:
        try:
            with self._log(replica.name).open(errors="replace") as file:
                return [line.rstrip("\n") for line in deque(file, lines)]
        except FileNotFoundError:
            return []

    def _model(self, digest: str) -> Path:
        return self._folder / "images" / digest / "model.onnx"

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _pid(self, name: str) -> Path:
        return self._folder / f"{name}.pid"
