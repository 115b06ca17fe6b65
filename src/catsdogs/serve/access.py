"""The outermost layer: request ids, refusals as JSON, one log line and one count for every answer."""

import json
import random
import re
import sys
import time
from collections.abc import Callable, Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catsdogs.serve.errors import Refused
from catsdogs.serve.metrics import Metrics

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNMATCHED = "unmatched"
CLIENT_GONE = 499  # nobody reads the answer; the number is nginx's


class Access:
    """Pure ASGI. Nothing of a photo or a query string is logged, and no address unless asked for."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, model_version: Callable[[], str | None], *, log_client: bool = False
    ) -> None:
        self.app, self.metrics, self.model_version, self.log_client = app, metrics, model_version, log_client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state = scope.setdefault("state", {})
        state["request_id"], state["charge"] = request_id, _free
        started, status = time.perf_counter(), 0

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if version := state.get("model_version") or self.model_version():
                    headers.append((b"x-model-version", version.encode()))
                message["headers"] = headers
            await send(message)

        self.metrics.in_progress.inc()
        try:
            await self.app(scope, receive, labelled)
        except ClientDisconnect:
            pass  # it went away while it sent its photo: nobody reads an answer, and nothing of ours failed
        except Refused as refused:
            _find_route(scope)
            self.metrics.refused.labels(refused.reason).inc()
            if not status:
                answer = refusal(scope, refused.status, refused.detail, refused.headers)
                await answer(scope, receive, labelled)
        except Exception as error:
            self._log(scope, request_id, "error", error=f"{type(error).__name__}: {error}"[:500])
            self.metrics.refused.labels("internal-error").inc()
            if not status:
                answer = refusal(scope, 500, "Internal error; the request id names it in the log.")
                await answer(scope, receive, labelled)
        finally:
            self.metrics.in_progress.dec()
            seconds = time.perf_counter() - started
            self.metrics.answered(scope["method"], route(scope), status or CLIENT_GONE, seconds)
            self._log(scope, request_id, "request", status=status or CLIENT_GONE, ms=round(1000 * seconds, 2))

    def _log(self, scope: Scope, request_id: str, event: str, **fields: object) -> None:
        line: dict[str, object] = {"event": event, "request_id": request_id, "method": scope["method"][:16],
                                   "route": route(scope), **fields}
        if (key := scope["state"].get("key")) is not None:
            line["key"] = key
        if self.log_client and scope.get("client"):
            line["client"] = scope["client"][0]
        _say(line)


def unread(metrics: Metrics, status: int, reason: str) -> str:
    """Log and count what was refused before it was a request; returns its id."""
    request_id = _fresh_id()
    metrics.refused.labels(reason).inc()
    metrics.answered("OTHER", UNMATCHED, status, 0.0)
    _say({"event": "request", "request_id": request_id, "method": "", "route": UNMATCHED, "status": status, "ms": 0.0})
    return request_id


def _say(line: dict[str, object]) -> None:
    """At once: the lines of several processes must not mix."""
    sys.stderr.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **line}) + "\n")


def refusal(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as this service words it; on /v2 also as the Open Inference Protocol does."""
    content = {"detail": detail, "request_id": scope["state"]["request_id"]}
    if scope["path"].startswith("/v2"):
        content["error"] = detail
    return JSONResponse(content, status, headers)


def _free(_: int) -> None:
    """What more photos of one request cost where no key has a rate."""


def route(scope: Scope) -> str:
    """The route's template, never the path itself: scanners must not make metrics grow."""
    matched = scope.get("route")
    return str(getattr(matched, "path", UNMATCHED)) if matched is not None else UNMATCHED


def _find_route(scope: Scope) -> None:
    """Name the route of a request that was refused before it got there: too large a body."""
    if "route" not in scope:
        matching = (route for route in scope["app"].routes if route.matches(scope)[0] is Match.FULL)
        scope["route"] = next(matching, None)


def _request_id(scope: Scope) -> str:
    sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return sent if SANE_ID.fullmatch(sent) else _fresh_id()


def _fresh_id() -> str:
    return f"{random.getrandbits(128):032x}"
