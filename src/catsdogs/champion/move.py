"""Which model answers users. An object in the bucket is the truth; MLflow's aliases mirror it.

Only `move` changes either. The object carries the decision that made it, so that a process killed before it wrote
its line of the log has lost nothing: the next one writes it.
"""

from dataclasses import dataclass
from typing import Literal

from catsdogs.artifacts import Document
from catsdogs.champion.decision import Action, Decision, Evidence, Shipped, decide, record
from catsdogs.champion.registry import mirror
from catsdogs.errors import CatsdogsError
from catsdogs.guarded import Guarded, Overtaken, Seen
from catsdogs.settings.promotion import RegistrySettings
from catsdogs.stores.store import Store

KEY = "models/champion.json"
UNDOING = ("undo", "rollback")
MIRRORED = 3  # times to look whether somebody moved on while MLflow was being told


class Champion(Document):
    schema_version: Literal[1] = 1
    model: Shipped | None  # None: the first promotion was taken back
    decision: Decision


@dataclass(frozen=True)
class Moved:
    decision: Decision
    changed: bool  # False where it stood so already
    mirrored: bool


def champion(store: Store) -> Seen[Champion]:
    """Raises CatsdogsError where the object is damaged."""
    return Guarded(store, KEY, Champion).read()


def move(
    store: Store, settings: RegistrySettings, seen: Seen[Champion], after: Shipped | None, action: Action, *,
    evidence: Evidence | None = None,
) -> Moved:
    """Make `after` the champion in place of the one that was `seen`. Raises CatsdogsError where somebody was faster."""
    if seen.value is not None:
        record(store, seen.value.decision)
        if action in ("promote", "release") and _same(seen.value.model, after):
            return Moved(seen.value.decision, False, _mirrored(store, settings))
    decision = decide(action, who=settings.who, why=settings.why, after=after, evidence=evidence,
                      before=seen.value.model if seen.value else None)
    try:
        Guarded(store, KEY, Champion).put(Champion(model=after, decision=decision), seen)
    except Overtaken:
        raise _overtaken(store) from None
    record(store, decision)
    return Moved(decision, True, _mirrored(store, settings, decision))


def _same(standing: Shipped | None, named: Shipped | None) -> bool:
    """Whether nothing would change; who names a model without its image does not take the image away."""
    if standing is None or named is None:
        return standing is named
    return standing in (named, named.model_copy(update={"image": standing.image}) if named.image is None else named)


def to_undo(seen: Seen[Champion]) -> Decision | None:
    """The promotion or release that stands; None where none does, or it was taken back."""
    if seen.value is None or seen.value.decision.action in UNDOING:
        return None
    return seen.value.decision


def _mirrored(store: Store, settings: RegistrySettings, decision: Decision | None = None) -> bool:
    told = None
    for _ in range(MIRRORED):
        now = champion(store).value
        if told is not None and now == told:
            break
        if not mirror(settings, "champion", now.model if now else None, decision, store.url):
            return False
        told = now
    return True


def _overtaken(store: Store) -> CatsdogsError:
    now = champion(store).value
    if now is None:
        return CatsdogsError(f"{store.url}/{KEY} vanished meanwhile: run the same command again.")
    by = now.decision
    return CatsdogsError(f"{by.who} was faster: {by.action} of {now.model.name if now.model else 'no model'} at "
                         f"{by.when} ({by.why}); nothing was changed, look at it and run the same command again.")
