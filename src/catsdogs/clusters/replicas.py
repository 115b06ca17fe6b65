"""One running copy of the service on this machine, and what it takes to have one."""

from typing import Protocol

from catsdogs.artifacts import Document


class Replica(Document):
    name: str
    image: str  # by digest
    address: str
    handle: str  # what the system knows it by: a container's or a process's id


class State(Document):
    """What runs, as the last command left it."""

    image: str | None = None  # what the public service is meant to run
    serving: list[Replica] = []
    coming: list[Replica] = []  # of the image that is meant, not ready yet
    leaving: list[Replica] = []  # without new requests
    candidate: Replica | None = None
    generation: int = 0  # so that no two replicas ever share a name


class Replicas(Protocol):
    kind: str

    def pinned(self, image: str) -> str: ...
    def start(self, image: str, name: str) -> Replica: ...
    def stop(self, replica: Replica) -> None: ...
    def alive(self, replica: Replica) -> bool: ...
    def logs(self, replica: Replica, lines: int) -> list[str]: ...

    def sweep(self, name: str) -> None:
        """Stop what carries this name, also where nothing remembers it because its starter was killed."""
