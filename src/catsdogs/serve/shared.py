"""What the processes of one service know together: a folder that the supervisor makes and removes."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from catsdogs.log import event
from catsdogs.serve.schemas import Refusal, ModelAnswer


@dataclass(frozen=True)
class Shared:
    """`number` tells the processes that live at the same time apart; one that ends leaves it to a later one."""

    folder: Path
    number: int


@dataclass(frozen=True)
class Said:
    """What a process says of its model."""

    version: str | None
    variant: str | None
    served_in: str | None
    refused: Refusal | None


class Board:
    """Each process says which model it answers with and what it refused, so that whichever is asked tells of all."""

    def __init__(self, shared: Shared | None) -> None:
        self.shared, self.mine = shared, Said(None, None, None, None)

    def say(self, model: ModelAnswer | None, refused: Refusal | None) -> None:
        self.mine = Said(None, None, None, refused) if model is None else Said(
            model.version, model.variant, model.served_in, refused)
        if self.shared is None:
            return
        path = board_file(self.shared.folder, self.shared.number)
        beside = path.with_suffix(".new")
        try:
            beside.write_text(json.dumps(vars(self.mine) | {"refused": refused.model_dump() if refused else None}))
            os.replace(beside, path)
        except OSError as error:  # of a full disk: this process answers all the same
            event("not told to the other processes", reason=str(error))

    def all(self) -> list[Said]:
        """Of every process that lives, this one first."""
        if self.shared is None:
            return [self.mine]
        own, found = board_file(self.shared.folder, self.shared.number), [self.mine]
        for path in sorted(self.shared.folder.glob("says_*.json")):
            if path != own:
                try:
                    said = json.loads(path.read_bytes())
                except FileNotFoundError:
                    continue  # it has just ended
                found.append(Said(**said | {"refused": Refusal(**said["refused"]) if said["refused"] else None}))
        return found

    def refused(self) -> Refusal | None:
        """The refusal of this process, or of any other."""
        return next((said.refused for said in self.all() if said.refused), None)


def board_file(folder: Path, number: int) -> Path:
    return folder / f"says_{number}.json"
