"""What the same flags and environment meant the last time.

Reading them takes longer than all else that an unchanged push does (importing pydantic and building its parser: 0.1
of 0.2 s), and they are mostly the same. Only for settings that hold no secret: their values are written down.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from catsdogs.files import write_bytes

if TYPE_CHECKING:
    from catsdogs.settings.base import Settings

PLAIN_NAME = re.compile(r"[0-9a-z][0-9a-z._-]*", re.IGNORECASE)
SPECIAL = frozenset({"none", "null", "void"})  # words that may mean no value to whoever parses flags


def recall(command: str, arguments: list[str]) -> Any:
    """Settings to read from, like those that `remember` was given for the same; None where nothing is remembered.

    `--commit` may differ: it is mostly another one, and any plain name is taken as it is.
    """
    path, key, commit = _place(command, arguments)
    try:
        found = json.loads(path.read_bytes()) if path else None
        if not isinstance(found, dict) or found["key"] != key or found["variables"] != _variables(found["names"]):
            return None
        values = {name: Path(value["path"]) if isinstance(value, dict) else value
                  for name, value in found["values"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing is lost: they are read anew
    return SimpleNamespace(**values if commit is None else values | {"commit": commit})


def remember(command: str, arguments: list[str], settings: "Settings") -> None:
    path, key, _ = _place(command, arguments)
    if path is None:
        return
    names = sorted(set(_names(type(settings))))
    values = {name: {"path": str(value)} if isinstance(value, Path) else value
              for name, value in settings.model_dump().items()}
    try:
        write_bytes(path, json.dumps({"key": key, "names": names, "variables": _variables(names),
                                      "values": values}).encode())
    except OSError:
        return  # a home that cannot be written to: they are read anew each time


def _place(command: str, arguments: list[str]) -> tuple[Path | None, str, str | None]:
    """File, what it must say, and the value of --commit. In the user's own cache and not beside the data: a folder
    that came from somebody else could name that person's bucket. There are at most 256 files."""
    if any(not argument.isascii() for argument in arguments) or not (cache := _cache()):
        return None, "", None
    commit, rest = None, list[str | None](arguments)
    if rest.count("--commit") == 1 and (at := rest.index("--commit") + 1) < len(rest) \
            and PLAIN_NAME.fullmatch(arguments[at]) and arguments[at].lower() not in SPECIAL:
        commit, rest[at] = arguments[at], None
    key = hashlib.sha256(json.dumps([command, rest, sys.version, sys.prefix, _declared()]).encode()).hexdigest()
    return cache / "catsdogs" / f"flags-{key[:2]}.json", key, commit


def _cache() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None  # nobody's home


def _declared() -> list[tuple[str, int, int]]:
    """The files that declare settings, as they are now: an upgrade forgets all."""
    with os.scandir(Path(__file__).parent) as entries:
        return sorted((entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in entries
                      if entry.name.endswith(".py"))


def _names(settings_type: "type[Settings]") -> Iterator[str]:
    """Of the variables that may decide a field, in lower case."""
    prefix = settings_type.model_config["env_prefix"].lower()
    for name, field in settings_type.model_fields.items():
        yield prefix + name
        for alias in getattr(field.validation_alias, "choices", [field.validation_alias]):
            if alias is not None:
                yield str(alias).lower()


def _variables(names: list[str]) -> str:
    """A digest of what these say: their values need not be written down twice."""
    wanted = set(names)
    found = sorted([name, value] for name, value in os.environ.items() if name.lower() in wanted)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
