"""What a release writes down before it does it, so that whoever comes after its death knows what to undo."""

import os
import secrets
import socket
import time
from typing import Literal

from catsdogs.artifacts import Document
from catsdogs.champion.decision import Evidence, Shipped

KEY = "models/release.json"
Phase = Literal[
    "candidate",  # nothing public has changed
    "public",  # the public image is about to be set, or is being watched
    "passed",  # only the champion is still to be moved
    "done",
]


class Record(Document):
    schema_version: Literal[1] = 1
    id: str
    kind: Literal["release", "rollback"]
    who: str
    why: str
    host: str
    cluster: str
    started: float  # seconds since 1970
    expires: float  # by the clock of who wrote it; until then nobody else may touch the cluster
    beat: int  # counts every write, so that no two are the same
    phase: Phase
    image: str | None  # to be public; of a rollback, the one to go back to
    previous_image: str | None  # public before
    model: Shipped | None  # to become the champion
    champion: str | None  # id of the decision that stood at the start
    evidence: Evidence

    def alive(self) -> bool:
        return self.phase != "done" and time.time() < self.expires

    def clock(self) -> str:
        """When it may be taken for dead, for people."""
        return time.strftime("%H:%M:%S UTC", time.gmtime(self.expires))


def this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def new_record(
    kind: Literal["release", "rollback"], *, who: str, why: str, cluster: str, seconds: float, image: str | None,
    previous_image: str | None, model: Shipped | None = None, champion: str | None = None,
) -> Record:
    now = time.time()
    return Record(
        id=secrets.token_hex(6), kind=kind, who=who, why=why, host=this_process(), cluster=cluster, started=now,
        expires=now + seconds, beat=0, phase="candidate", image=image, previous_image=previous_image, model=model,
        champion=champion, evidence={},
    )
