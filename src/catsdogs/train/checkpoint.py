"""What a training that was cut short goes on from. The last two states are kept, should the newest be damaged."""

import math
from pathlib import Path
from typing import Any

from catsdogs.errors import ModelRefused
from catsdogs.files import remove_abandoned, sync
from catsdogs.log import event
from catsdogs.weights import load_plain, save_plain

FILE_NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"


class Checkpoint:
    """Files of plain tensors and values. `key` is the digest of everything that decides the weights."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path, self.previous = folder / FILE_NAME, folder / PREVIOUS
        self.key = key

    def save(self, state: dict[str, Any]) -> None:
        """Write the newest state; the one before it stays until this is whole on disk, where a power cut leaves it.

        Waiting for the disk costs 0.3 to 11 ms beside the 35 to 60 that 22 MB of `fast` take (ext4 on a virtual disk,
        which may answer early; at 100 MB/s it would be 0.2 s), once a minute and after each epoch. Raises OSError.
        """
        beside = self.path.with_name(f"{FILE_NAME}.new")
        save_plain(beside, {"key": self.key, **state})
        sync(beside)
        if self.path.exists():
            self.path.replace(self.previous)
        beside.replace(self.path)
        sync(self.path.parent)

    def load(self) -> dict[str, Any] | None:
        """The state to go on from; None where there is none, or it belongs to another training.

        Comes before the first `save`: what killed processes left half-written is cleared here.
        """
        remove_abandoned(self.path)
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state = load_plain(path)
            except ModelRefused as error:
                event("checkpoint_ignored", because=str(error))
                continue
            if state.get("key") == self.key:
                return state
            event("checkpoint_ignored", because="it belongs to other data or other settings", path=path)
        return None

    @classmethod
    def key_in(cls, folder: Path) -> str | None:
        """Of the newest state there; None where there is none that can be read."""
        try:
            return str(load_plain(folder / FILE_NAME)["key"])
        except (ModelRefused, KeyError):
            return None

    def close(self, seconds: float = math.inf) -> None:
        """Called where what is saved is to stay, as when the training is cut short, with the time there is for it."""

    def remove(self) -> None:
        for path in (self.path, self.previous):
            path.unlink(missing_ok=True)
