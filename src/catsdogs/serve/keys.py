"""API keys as they are written down: who may ask for what. Only their digests are, never they themselves."""

import hashlib
import re
from dataclasses import dataclass

from catsdogs.errors import UsageError
from catsdogs.files import explain_os_error
from catsdogs.settings.serving import ServeSettings

SCOPES = ("predict", "metrics")
LINE = re.compile(r"(?P<name>[\w.-]{1,64})\s+(?P<scopes>[a-z,]+)\s+(?P<digest>[0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Key:
    """A key is random and long, so one sha256 of it is enough: there is no dictionary to try."""

    name: str
    scopes: frozenset[str]
    digest: bytes


def digest_of_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def read_keys(settings: ServeSettings) -> list[Key] | None:
    """Of the file and of the environment; None where neither is set. Raises UsageError naming the line."""
    if settings.api_keys_file is None and not settings.api_keys:
        return None
    lines = [("--api-keys", line) for line in re.split(r"[\n;]", settings.api_keys)]
    if settings.api_keys_file is not None:
        try:
            text = settings.api_keys_file.read_text("utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"--api-keys-file {settings.api_keys_file} is no text file.") from None
        except OSError as error:
            raise UsageError(f"--api-keys-file: {explain_os_error(error)}") from None
        lines += [(f"{settings.api_keys_file} line {number}", line) for number, line in enumerate(text.splitlines(), 1)]
    keys = [_key(where, line.strip()) for where, line in lines if line.strip() and not line.strip().startswith("#")]
    if not keys:
        raise UsageError("--api-keys-file holds no key, so nobody could ask: `catsdogs key` makes one.")
    return keys


def _key(where: str, line: str) -> Key:
    found = LINE.fullmatch(line)
    scopes = frozenset(found["scopes"].split(",")) if found else frozenset()
    if found is None or not scopes <= set(SCOPES):
        raise UsageError(f"{where} is no line `name {','.join(SCOPES)} sha256`: `catsdogs key` makes one.")
    return Key(found["name"], scopes, bytes.fromhex(found["digest"]))
