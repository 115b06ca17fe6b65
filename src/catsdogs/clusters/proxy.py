"""The public address of a cluster on one machine: passes each request on to one of its replicas.

Our own, and not nginx or haproxy: a request that meets a replica which has just stopped must go to another one
although it is a POST (a prediction changes nothing, so it may be asked twice), replicas may only stop once nothing is
under way with them, and `aiohttp` is there already. Reads the list of replicas anew whenever its file changes.

    python -m catsdogs.clusters.proxy FILE HOST PORT
"""

import asyncio
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import web

STATUS_PATH = "/-/proxy"
LARGEST_BODY = 32 * 1024 * 1024  # bytes; the service itself refuses more than 20 MB
ANSWER_SECONDS = 60.0
# Between two machines, not between two ends: these describe one connection (RFC 9110, section 7.6.1).
HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
                        "transfer-encoding", "upgrade", "content-length", "host"})


class Proxy:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = 0
        self._turn = itertools.count()
        # By connection, as the balancers of clouds do: who keeps one open keeps meeting the same replica.
        self._turns: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()
        self._backends: list[str] = []
        self._under_way: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None

    async def start(self, _: web.Application) -> None:
        # A connection for each request: one that is kept may be closed by a stopping replica just as it is used.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))

    async def stop(self, _: web.Application) -> None:
        if self._session is not None:
            await self._session.close()

    def backends(self) -> list[str]:
        changed = self._file.stat().st_mtime_ns
        if changed != self._changed:
            self._backends, self._changed = json.loads(self._file.read_text()), changed
        return self._backends

    async def status(self, _: web.Request) -> web.Response:
        return web.json_response({"backends": self.backends(), "under_way": dict(+self._under_way)})

    async def pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        backends = self.backends()
        first, reason = self._turn_of(request), "no replica is running"
        for number in range(len(backends)):
            backend = backends[(first + number) % len(backends)]
            self._under_way[backend] += 1
            try:
                return await self._answer(backend, request, headers, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                reason = f"{type(error).__name__}: {error}"
            finally:
                self._under_way[backend] -= 1
        print(json.dumps({"event": "no_answer", "because": reason}), file=sys.stderr, flush=True)
        return web.json_response({"detail": "No replica answers."}, status=503, headers={"Retry-After": "1"})

    def _turn_of(self, request: web.Request) -> int:
        if request.transport is None:
            return next(self._turn)
        if request.transport not in self._turns:
            self._turns[request.transport] = next(self._turn)
        return self._turns[request.transport]

    async def _answer(
        self, backend: str, request: web.Request, headers: list[tuple[str, str]], body: bytes
    ) -> web.Response:
        assert self._session is not None
        async with self._session.request(request.method, backend + request.raw_path, headers=headers, data=body,
                                         allow_redirects=False) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
            response = web.Response(status=answer.status, body=await answer.read())
            for name, value in kept:
                response.headers[name] = value
            return response


def application(file: Path) -> web.Application:
    proxy = Proxy(file)
    app = web.Application(client_max_size=LARGEST_BODY)
    app.on_startup.append(proxy.start)
    app.on_cleanup.append(proxy.stop)
    app.router.add_get(STATUS_PATH, proxy.status)
    app.router.add_route("*", "/{path:.*}", proxy.pass_on)
    return app


def run(file: Path, host: str, port: int) -> None:
    asyncio.set_event_loop(asyncio.new_event_loop())
    web.run_app(application(file), host=host, port=port, print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
