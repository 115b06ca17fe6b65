"""Checkpoints that outlive their machine: each saved state is sent to a bucket, and fetched where none is on disk."""

import math
import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.files import PARTIAL, atomic_write, sha256
from catsdogs.log import event
from catsdogs.stores.store import Content, Store
from catsdogs.train.checkpoint import FILE_NAME, Checkpoint

FOLDER = "checkpoints/"
KEPT = 2
LEAVING_SECONDS = 15.0  # that the end of a training waits for the last upload
NAME = re.compile(r"(\d+)-([0-9a-f]{16})\.pt")


class FarCheckpoint(Checkpoint):
    """A checkpoint with copies at checkpoints/<key>/<steps>-<digest>.pt of a store."""

    def __init__(self, folder: Path, key: str, store: Store) -> None:
        super().__init__(folder, key)
        self._store, self._prefix = store, f"{FOLDER}{key}/"
        self._sender = _Sender(store, self._prefix)

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self._sender.offer(self.path, int(state["numbers"]["steps"]))

    def load(self) -> dict[str, Any] | None:
        """The state on disk; where there is none that fits, the newest sound one of the bucket.

        Raises CatsdogsError where the bucket cannot be read: better before hours of training than after.
        """
        found = super().load()
        entries = _ours(self._store, self._prefix)  # also where it is not needed: a wrong address is found out now
        if found is not None:
            return found
        for steps, key in sorted(entries, reverse=True):
            data = self._store.read(key)
            if not key.endswith(f"-{sha256(data)[:16]}.pt"):
                event("checkpoint_ignored", because="it is damaged", path=f"{self._store.url}/{key}")
                continue
            with atomic_write(self.path) as file:
                file.write(data)
            event("checkpoint_fetched", path=f"{self._store.url}/{key}", steps=steps)
            if (found := super().load()) is not None:
                return found
        if not entries:
            self._say_what_else_there_is()
        return None

    def _say_what_else_there_is(self) -> None:
        """The key holds what the machine decides as well: elsewhere a training may begin anew that seems the same."""
        if others := self._store.folders(FOLDER):
            event("no_checkpoint_fits", others=len(others), bucket=self._store.url, because=(
                "those in the bucket are of other data, settings, code or packages, or of a machine with another "
                "number of cores or another precision"))

    def close(self, seconds: float = math.inf) -> None:
        self._sender.close(min(seconds, LEAVING_SECONDS))

    def remove(self) -> None:
        super().remove()
        self._sender.close(LEAVING_SECONDS)  # or an upload would come after the removal
        try:
            for _, key in _ours(self._store, self._prefix):
                self._store.delete(key)
        except CatsdogsError as error:
            event("checkpoint_not_removed", because=str(error))


class _Sender:
    """One thread that uploads the newest state offered, and forgets those that a newer one has overtaken."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._changed = threading.Condition()
        self._next: tuple[Path, int] | None = None
        self._busy = self._said = False
        self._offered = 0
        self._thread: threading.Thread | None = None

    def offer(self, path: Path, steps: int) -> None:
        """Returns at once: the file is linked, so that the next save may take its name.

        Each link has a name of its own: the same steps are saved twice where SIGTERM comes right after an epoch.
        """
        self._offered += 1
        link = path.with_name(f"{FILE_NAME}.{self._offered}.{os.getpid()}{PARTIAL}")
        link.unlink(missing_ok=True)
        try:
            os.link(path, link)
        except OSError:  # a file system without links
            shutil.copyfile(path, link)
        with self._changed:
            if self._next is not None:
                self._next[0].unlink(missing_ok=True)
            self._next = link, steps
            self._changed.notify_all()
        if self._thread is None:
            # A daemon: an upload that hangs must not keep a finished training alive.
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()

    def close(self, seconds: float) -> None:
        """Wait for what is on its way, at most so long."""
        ends = time.monotonic() + seconds
        with self._changed:
            while (self._next is not None or self._busy) and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            unsent, self._next = self._next, None
            late = unsent is not None or self._busy
        if unsent is not None:
            unsent[0].unlink(missing_ok=True)
        if late:
            self._say(f"the upload took longer than {seconds:.0f} s")

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._next is None:
                    self._changed.wait()
                (path, steps), self._next, self._busy = self._next, None, True
            try:
                self._send(path, steps)
            except Exception as error:  # whatever a server or a network does: training goes on
                self._say(str(error))
            finally:
                path.unlink(missing_ok=True)
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _send(self, path: Path, steps: int) -> None:
        content = Content.file(path)
        self._store.write(f"{self._prefix}{steps:012d}-{content.sha256[:16]}.pt", content)
        for _, key in sorted(_ours(self._store, self._prefix))[:-KEPT]:
            self._store.delete(key)

    def _say(self, reason: str) -> None:
        if not self._said:
            event("checkpoint_not_sent", because=reason, to=f"{self._store.url}/{self._prefix}")
        self._said = True


def _ours(store: Store, prefix: str) -> list[tuple[int, str]]:
    """Steps and key of every state below `prefix`."""
    found = []
    for entry in store.entries(prefix):
        if name := NAME.fullmatch(entry.key.removeprefix(prefix)):
            found.append((int(name[1]), entry.key))
    return found
