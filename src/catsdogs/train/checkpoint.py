"""What a training that was cut short goes on from: the state after its last finished epoch."""

from pathlib import Path
from typing import Any

from catsdogs.errors import ModelRefused
from catsdogs.log import event
from catsdogs.weights import load_plain, save_plain

FILE_NAME = "checkpoint.pt"


class Checkpoint:
    """One file of plain tensors and values. `key` is the digest of everything that decides the weights."""

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / FILE_NAME
        self.key = key

    def save(self, state: dict[str, Any]) -> None:
        save_plain(self.path, {"key": self.key, **state})

    def load(self) -> dict[str, Any] | None:
        """The state to go on from; None where there is none, or it belongs to another training."""
        if not self.path.exists():
            return None
        try:
            state = load_plain(self.path)
        except ModelRefused as error:
            event("checkpoint_ignored", because=str(error))
            return None
        if state.get("key") != self.key:
            event("checkpoint_ignored", because="it belongs to other data or other settings", path=self.path)
            return None
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
