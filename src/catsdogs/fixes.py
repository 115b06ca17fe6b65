"""`fixes.yaml`: what a person decided about single photos, by digest. Ingest applies it, doctor respects it."""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from catsdogs.errors import UsageError

DEFAULT = Path("fixes.yaml")

Words = Annotated[str, Field(strict=True, min_length=1)]


class Action(StrEnum):
    DROP = "drop"  # no photo for this set
    RELABEL = "relabel"  # it shows `label`
    KEEP = "keep"  # looked at and found good: doctor stops asking


class Fix(BaseModel):
    """One decision, with who made it and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Annotated[str, Field(strict=True, pattern="^[0-9a-f]{64}$")]  # sha256 of the photo's bytes
    action: Action
    label: Words | None = None
    who: Words
    why: Words

    @model_validator(mode="after")
    def _label_goes_with_relabel(self) -> Self:
        if (self.action == Action.RELABEL) != (self.label is not None):
            raise ValueError("a label belongs to the action relabel, and to it alone")
        return self

    @property
    def text(self) -> str:
        return f"{self.who}: {self.why}"


def read_fixes(named: Path | None) -> dict[str, Fix]:
    """Decisions by digest, from `named`, or from `fixes.yaml` where that exists and nothing is named.

    Raises UsageError for a file that is missing or no list of decisions, and for two decisions about one photo.
    """
    import yaml

    path = named or DEFAULT
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named is None:
            return {}
        raise UsageError(f"{path} does not exist: name a file of corrections with --fixes.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text: name a file of corrections with --fixes.") from None
    try:
        entries = yaml.safe_load(text) or []
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place else ""
        raise UsageError(f"{path} is no YAML{where}: copy lines from the report of `catsdogs doctor`.") from None
    if not isinstance(entries, list):
        raise UsageError(f"{path} holds no list: each line begins with `- `, as `catsdogs doctor` prints it.")
    fixes: dict[str, Fix] = {}
    for number, entry in enumerate(entries, 1):
        fix = _checked(entry, f"{path}, entry {number}")
        if fix.digest in fixes:
            raise UsageError(f"{path}, entry {number}: a second decision about {fix.digest[:12]}…: keep one of them.")
        fixes[fix.digest] = fix
    return fixes


def _checked(entry: object, where: str) -> Fix:
    try:
        return Fix.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        given = "" if not field or first["type"] == "missing" else f" {first['input']!r}"
        message = first["msg"].removeprefix("Value error, ")
        about = f"{field}{given}: " if field else ""
        raise UsageError(f"{where}: {about}{message[:1].lower()}{message[1:]}.") from None


def refuse_unknown(fixes: dict[str, Fix], digests: Iterable[str], labels: Iterable[str]) -> None:
    """Raises UsageError for a decision about a photo that is not there, or for a class that is not."""
    known, classes = set(digests), sorted(set(labels))
    for fix in fixes.values():
        if fix.digest not in known:
            raise UsageError(
                f"No photo has the digest {fix.digest!r} of the corrections: remove that entry, or name other "
                "corrections with --fixes."
            )
        if fix.label is not None and fix.label not in classes:
            raise UsageError(
                f"The corrections make {fix.digest[:12]}… a {fix.label!r}, but the classes are {', '.join(classes)}: "
                "mend that entry."
            )


def fix_line(digest: str, action: Action, why: str, label: str | None = None) -> str:
    """The line to add to `fixes.yaml`; only the name is left to fill in."""
    words = [f'digest: "{digest}"', f"action: {action}"]
    if label is not None:
        words.append(f"label: {json.dumps(label, ensure_ascii=False)}")
    words += ['who: "your name"', f"why: {json.dumps(why, ensure_ascii=False)}"]
    return "- {" + ", ".join(words) + "}"
