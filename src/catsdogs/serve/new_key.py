"""`catsdogs key`: a new API key, shown once, and the line that admits it."""

import secrets
from dataclasses import dataclass
from typing import Any

from catsdogs.errors import UsageError
from catsdogs.serve.keys import LINE, SCOPES, digest_of_key
from catsdogs.settings.serving import KeySettings


@dataclass(frozen=True)
class NewKey:
    key: str
    line: str

    def text(self) -> str:
        return f"key    {self.key}   (shown once: keep it safe)\nline   {self.line}   (for --api-keys-file)"

    def data(self) -> dict[str, Any]:
        return {"key": self.key, "line": self.line}


def new_key(settings: KeySettings) -> NewKey:
    """256 random bits. Raises UsageError for a name or scope that does not fit."""
    key = secrets.token_urlsafe(32)
    line = f"{settings.name} {settings.scopes} {digest_of_key(key).hex()}"
    if LINE.fullmatch(line) is None or not set(settings.scopes.split(",")) <= set(SCOPES):
        raise UsageError(f"--name is a word, --scopes some of {','.join(SCOPES)}: not {settings.name!r} and "
                         f"{settings.scopes!r}.")
    return NewKey(key, line)
