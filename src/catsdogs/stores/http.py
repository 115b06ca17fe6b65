"""One HTTP exchange with an object store that either comes back whole or is tried again.

urllib3 and not the servers' own clients: those hide the answer's pace, so that a trickle of one byte a second keeps
a transfer alive for ever, and importing them takes longer than an unchanged push (0.5 s against 0.05; requests: 0.1).
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from urllib3 import PoolManager, ProxyManager, Timeout, make_headers
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from catsdogs.errors import CatsdogsError
from catsdogs.settings.network import certificates, proxy_for
from catsdogs.stores.store import PIECE, Content

ATTEMPTS = 12
FIRST_PAUSE = 0.2  # seconds; doubles up to LONGEST_PAUSE, and a random part of it is waited ("full jitter")
LONGEST_PAUSE = 20.0
LONGEST_RETRY_AFTER = 60.0
SLOWEST = 8_000  # bytes/s: an answer slower than this after `stall_seconds` is given up and asked for anew
TRY_AGAIN = frozenset({401, 408, 429, 500, 502, 503, 504})  # 401: the token may have run out on the way
# Refusals (400, of an emulator 409) of a body that came late, or with other bytes than were sent: Amazon's three and
# Google's words.
SPOILT = (b"RequestTimeout", b"BadDigest", b"XAmzContentSHA256Mismatch", b"doesn't match calculated")
CONNECT_SECONDS = 10.0
BLOCK = 1 << 18  # bytes of a body handed to the socket at a time


class Passing(Exception):
    """Something that may well work the next time. `after`: seconds the server asked to wait."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def text(self) -> str:
        return " ".join(self.data[:300].decode("utf-8", "replace").split())


class Body:
    """The bytes of a Content between a head and a tail, read as one stream; `len()` is its length."""

    def __init__(self, content: Content, head: bytes = b"", tail: bytes = b"") -> None:
        self._length = len(head) + content.size + len(tail)
        self._file, self._sent = content.open(), content.sent
        self._head, self._tail, self._size = head, tail, content.size
        self._given = 0

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1, /) -> bytes:
        size = PIECE if size < 0 else size
        if self._given < len(self._head):
            data = self._head[self._given:self._given + size]
        elif self._given < len(self._head) + self._size:
            data = self._file.read(min(size, len(self._head) + self._size - self._given))
            self._sent(self._given + len(data) - len(self._head))
        else:
            start = self._given - len(self._head) - self._size
            data = self._tail[start:start + size]
        self._given += len(data)
        return data

    def close(self) -> None:
        self._file.close()


class Http:
    """A pool of connections; `call` may be used from many threads."""

    def __init__(self, transfers: int, stall_seconds: float) -> None:
        self.stall_seconds = stall_seconds
        self.sent = 0
        self._count = threading.Lock()
        self._transfers = transfers
        self._managers: dict[str | None, PoolManager] = {}  # by proxy

    def call(
        self, method: str, url: str, headers: Callable[[], Mapping[str, str]], *,
        body: Callable[[], Body] | None = None, good: frozenset[int] = frozenset({200}),
        check: Callable[[Answer], None] | None = None,
    ) -> Answer:
        """Send until an answer of a `good` status comes back whole and passes `check` (which raises Passing).

        `headers` and `body` are asked for anew at each attempt: tokens run out, readers are spent. Raises
        CatsdogsError with the last reason after ATTEMPTS, or at once where trying again cannot help.
        """
        pause, reason = FIRST_PAUSE, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
            try:
                answer = self._once(method, url, headers(), body)
                if answer.status in good:
                    if check:
                        check(answer)
                    return answer
                if answer.status not in TRY_AGAIN and not any(words in answer.data for words in SPOILT):
                    raise _refused(method, url, answer)
                raise Passing(f"{answer.status} {answer.text}", _retry_after(answer.headers))
            except Passing as error:
                reason = str(error)
                time.sleep(error.after)
        raise CatsdogsError(f"{method} {url.partition('?')[0]} failed {ATTEMPTS} times, at last with: {reason}; "
                            "run the same command again, what is done is kept.")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Callable[[], Body] | None) -> Answer:
        with self._count:
            self.sent += 1
        reader = body() if body else None
        sent = {"Accept-Encoding": "identity", **headers}
        if reader is not None:
            sent["Content-Length"] = str(len(reader))
        try:
            answer = self._manager(url).request(
                method, url, headers=sent, body=reader,  # type: ignore[arg-type]  # a file, for all it asks
                preload_content=False, decode_content=False,
                redirect=False, retries=False, timeout=Timeout(connect=CONNECT_SECONDS, read=self.stall_seconds))
            try:
                data = self._whole(answer)
            except BaseException:
                answer.close()  # what is left of it must not meet the next request
                raise
            answer.release_conn()
            return Answer(answer.status, answer.headers, data)
        except (HTTPError, OSError) as error:
            raise Passing(f"{type(error).__name__}: {error}") from None
        finally:
            if reader is not None:
                reader.close()

    def _manager(self, url: str) -> PoolManager:
        proxy = proxy_for(url)
        with self._count:
            if proxy not in self._managers:
                self._managers[proxy] = _pool(url, proxy, self._transfers)
            return self._managers[proxy]

    def _whole(self, answer: BaseHTTPResponse) -> bytes:
        """Read to the end; urllib3 raises where the connection ends before the announced length."""
        started, pieces, length = time.monotonic(), [], 0
        while piece := answer.read1(PIECE):
            pieces.append(piece)
            length += len(piece)
            seconds = time.monotonic() - started
            if seconds > self.stall_seconds and length < SLOWEST * seconds:
                raise Passing(f"{length} bytes in {seconds:.0f} s")
        return b"".join(pieces)


def _pool(url: str, proxy: str | None, transfers: int) -> PoolManager:
    options: dict[str, Any] = {"num_pools": 4, "maxsize": transfers, "blocksize": BLOCK}
    if url.startswith("https:") or proxy:
        import certifi

        options["ca_certs"] = certificates() or certifi.where()
    if proxy is None:
        return PoolManager(**options)
    secret = parse_url(proxy).auth
    return ProxyManager(proxy, proxy_headers=make_headers(proxy_basic_auth=secret) if secret else None, **options)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(max(float(headers.get("Retry-After", "0")), 0.0), LONGEST_RETRY_AFTER)
    except ValueError:
        return 0.0  # a date: the jittered pause will do


def _refused(method: str, url: str, answer: Answer) -> CatsdogsError:
    where = url.partition("?")[0]
    if answer.status == 403:
        return CatsdogsError(f"No permission for {method} {where}: {answer.text}; give this account a role that may "
                             "read and create objects there.")
    return CatsdogsError(f"{method} {where} was answered with {answer.status}: {answer.text}")
