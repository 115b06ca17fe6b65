"""One small JSON object in a bucket that several programs change: who read an old one may not replace a new one."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from catsdogs.artifacts import Document
from catsdogs.errors import CatsdogsError
from catsdogs.stores.store import Changed, Content, Exists, Missing, Store

Kind = TypeVar("Kind", bound=Document)


class Overtaken(CatsdogsError):
    """Somebody else changed the object since it was read."""


@dataclass(frozen=True)
class Seen(Generic[Kind]):
    """What the object was when it was read; `generation` is None where there was none."""

    value: Kind | None
    generation: str | None


class Guarded(Generic[Kind]):
    def __init__(self, store: Store, key: str, kind: type[Kind]) -> None:
        self.store, self.key, self._kind = store, key, kind

    def read(self) -> Seen[Kind]:
        """Raises CatsdogsError for an object that is not what it should be."""
        try:
            data, generation = self.store.current(self.key)
        except Missing:
            return Seen(None, None)
        return Seen(self._kind.parse(data, f"{self.store.url}/{self.key}", "the command that wrote it"), generation)

    def put(self, value: Kind, seen: Seen[Kind]) -> None:
        """Replace what was `seen`; every value must differ from all others. Raises Overtaken."""
        content = Content.of(value.model_dump_json(indent=2).encode())
        try:
            if seen.generation is None:
                self.store.write(self.key, content, absent=True)
            else:
                self.store.replace(self.key, content, seen.generation)
        except (Changed, Exists):
            if self.read().value != value:  # else it was ourselves: the answer to an earlier attempt was lost
                raise Overtaken(f"{self.store.url}/{self.key} was changed by somebody else meanwhile.") from None
