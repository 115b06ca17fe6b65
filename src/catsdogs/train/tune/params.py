"""The outcome as a change of params.yaml, with its comments and order left as they are."""

import difflib
import re
from pathlib import Path
from typing import Any

from catsdogs.errors import UsageError

SECTION = "train"


def said(text: str, where: Path) -> dict[str, Any]:
    """What the section `train` says. Raises UsageError where there is none."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where} cannot be read as YAML ({str(error).splitlines()[0]}): correct it, or name another "
                         "--params.") from None
    section = content.get(SECTION) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise UsageError(f"{where} has no section {SECTION!r}: name another --params.")
    return section


def changed(text: str, values: dict[str, Any], where: Path) -> str:
    """`text` with the values of its section `train` replaced. Raises UsageError where one is not in it."""
    lines = text.splitlines(keepends=True)
    inside, left = False, dict(values)
    for number, line in enumerate(lines):
        if re.match(r"\S", line):
            inside = line.startswith(f"{SECTION}:")
        found = re.match(r"(\s+)(\w+):(\s*)([^#\n]*?)(\s*(?:#.*)?\n?)$", line) if inside else None
        if found and found[2] in left:
            lines[number] = f"{found[1]}{found[2]}: {left.pop(found[2])}{found[5]}"
    if left:
        raise UsageError(f"{where} has no {', '.join(left)} in its section {SECTION!r}: name another --params.")
    return "".join(lines)


def difference(before: str, after: str, name: str) -> str:
    """A unified diff, empty where nothing changes."""
    rows = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, name, n=1)
    return "".join(rows)
