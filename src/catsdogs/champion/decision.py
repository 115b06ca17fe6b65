"""What was decided about models, by whom and why: one object per decision, never changed."""

import secrets
from datetime import UTC, datetime
from typing import Literal

from catsdogs.artifacts import Document
from catsdogs.stores.store import Content, Exists, Store

DECISIONS = "models/decisions/"
Action = Literal["promote", "undo", "release", "rollback", "refused", "restored", "abandoned"]
Evidence = dict[str, str | int | float | bool | None]


class Shipped(Document):
    """A model, and the image that serves it."""

    commit: str | None
    model_digest: str | None  # of model.pt
    image: str | None  # by digest

    @property
    def name(self) -> str:
        parts = [self.model_digest[:12] if self.model_digest else "", f"of commit {self.commit[:12]}"
                 if self.commit else "", f"in {self.image}" if self.image else ""]
        return "model " + (" ".join(part for part in parts if part) or "unknown")


class Decision(Document):
    schema_version: Literal[1] = 1
    id: str
    action: Action
    when: str  # UTC, ISO 8601
    who: str
    why: str
    before: Shipped | None  # the champion
    after: Shipped | None  # the champion, or in vain the candidate
    evidence: Evidence
    reasons: list[str]  # why it failed; empty where it did not

    @property
    def key(self) -> str:
        stamp = self.when.replace("-", "").replace(":", "").split(".")[0].removesuffix("+0000")
        return f"{DECISIONS}{stamp}Z-{self.id}.json"

    def text(self) -> str:
        failed = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return f"{self.action} of {self.after.name if self.after else 'no model'} by {self.who}: {self.why}{failed}"


def decide(
    action: Action, *, who: str, why: str, before: Shipped | None, after: Shipped | None,
    evidence: Evidence | None = None, reasons: list[str] | None = None,
) -> Decision:
    return Decision(id=secrets.token_hex(6), action=action, when=datetime.now(UTC).isoformat(timespec="seconds"),
                    who=who, why=why, before=before, after=after, evidence=evidence or {}, reasons=reasons or [])


def record(store: Store, decision: Decision) -> None:
    """Write it down; a second time changes nothing."""
    try:
        store.write(decision.key, Content.of(decision.model_dump_json(indent=2).encode()), absent=True)
    except Exists:
        pass  # by an earlier attempt: the id is drawn at random


def decisions(store: Store) -> list[Decision]:
    """The log, oldest first."""
    return [Decision.parse(store.read(entry.key), entry.key, "nothing: it is a log")
            for entry in store.entries(DECISIONS)]
