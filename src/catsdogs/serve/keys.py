"""API keys: who may ask for what, and how often. A server without keys is open."""

import hashlib
import hmac
import math
import re
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from catsdogs.errors import UsageError
from catsdogs.files import explain_os_error
from catsdogs.serve.errors import Refused
from catsdogs.serve.rates import Bucket, Cells
from catsdogs.serve.shared import Shared
from catsdogs.settings.serving import ServeSettings

SCOPES = ("predict", "metrics")
OPEN = frozenset({"/", "/page.css", "/page.js", "/icon.svg", "/health", "/livez", "/readyz", "/v2", "/v2/health/live",
                  "/v2/health/ready", "/docs", "/docs.css", "/docs.js", "/openapi.json"})
OF_PATH = {"/metrics": "metrics"}  # everything else needs the scope `predict`
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


class KeyCheck:
    """Inside the middleware that answers Refused; outside the one that reads bodies."""

    def __init__(self, app: ASGIApp, keys: list[Key], rate: float, shared: Shared | None) -> None:
        self.app, self.keys = app, keys
        names = list(dict.fromkeys(key.name for key in keys))
        cells = Cells(len(names), shared)
        self.buckets = {name: Bucket(rate, cells, place) for place, name in enumerate(names)} if rate else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            key = self._who(scope)
            scope["state"]["key"] = key.name
            if OF_PATH.get(scope["path"], "predict") not in key.scopes:
                raise Refused(403, "wrong-scope", f"The key {key.name!r} is not for this.")
            if (bucket := self.buckets.get(key.name)) is not None:
                if wait := bucket.take():
                    raise Refused(429, "rate", "This key asks too often.", {"Retry-After": str(math.ceil(wait))})
                scope["state"]["charge"] = bucket.owe
        await self.app(scope, receive, send)

    def _who(self, scope: Scope) -> Key:
        sent = dict(scope["headers"])
        kind, _, token = sent.get(b"authorization", b"").decode("latin-1").partition(" ")
        text = token.strip() if kind.lower() == "bearer" else sent.get(b"x-api-key", b"").decode("latin-1")
        digest, found = digest_of_key(text), None
        for key in self.keys:  # all of them, whichever fits: the time says nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            what = "no API key" if not text else "no API key that is known"
            raise Refused(401, "no-key", f"This request carries {what}.", {"WWW-Authenticate": "Bearer"})
        return found
