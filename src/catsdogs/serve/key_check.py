"""Asks each request for its API key, and how often that one has asked. A server without keys is open."""

import hmac
import math

from starlette.types import ASGIApp, Receive, Scope, Send

from catsdogs.serve.errors import Refused
from catsdogs.serve.keys import Key, digest_of_key
from catsdogs.serve.rates import Bucket, Cells
from catsdogs.serve.shared import Shared

OPEN = frozenset({"/", "/page.css", "/page.js", "/icon.svg", "/health", "/livez", "/readyz", "/v2", "/v2/health/live",
                  "/v2/health/ready", "/docs", "/docs.css", "/docs.js", "/openapi.json"})
OF_PATH = {"/metrics": "metrics"}  # everything else needs the scope `predict`


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
