"""Google Cloud Storage through its JSON API. Credentials: application default, workload identity included."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import google_crc32c

from catsdogs.errors import CatsdogsError
from catsdogs.stores.http import Answer, Body, Http, Passing
from catsdogs.stores.store import PIECE, Changed, Content, Entry, Exists, Missing

SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
BOUNDARY = "catsdogs-5fb1a2f6c0"


class GcsStore:
    def __init__(self, bucket: str, prefix: str, emulator: str | None, transfers: int, stall_seconds: float) -> None:
        self.url = f"gs://{bucket}/{prefix}".rstrip("/")
        self._prefix = prefix + "/" if prefix else ""
        host = emulator or "https://storage.googleapis.com"
        host = host if "://" in host else f"http://{host}"
        self._objects = f"{host}/storage/v1/b/{quote(bucket, safe='')}/o"
        self._uploads = f"{host}/upload/storage/v1/b/{quote(bucket, safe='')}/o"
        self._http = Http(transfers, stall_seconds)
        self._token = _NoToken() if emulator else _Token()

    @property
    def requests(self) -> int:
        return self._http.sent

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        part = start or length is not None
        span = {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"} if part else {}

        def check(answer: Answer) -> None:
            wanted = answer.headers.get("x-goog-hash", "").partition("crc32c=")[2].partition(",")[0]
            if answer.status == 200 and wanted and wanted != _crc32c_of(answer.data):
                raise Passing("the answer's checksum is wrong")

        answer = self._http.call("GET", f"{self._object(key)}?alt=media", lambda: self._token.headers() | span,
                                 good=frozenset({200, 206, 404, 416}), check=check)
        if answer.status == 404:
            raise Missing(key, self.url)
        if answer.status == 416:
            return b""
        whole = answer.status == 200 and bool(part)  # the server may ignore ranges
        return answer.data[start:None if length is None else start + length] if whole else answer.data

    def current(self, key: str) -> tuple[bytes, str]:
        while True:
            answer = self._http.call("GET", f"{self._object(key)}?fields=generation", self._token.headers,
                                     good=frozenset({200, 404}), check=_check_json)
            if answer.status == 404:
                raise Missing(key, self.url)
            generation = str(_json(answer).get("generation", ""))
            query = urlencode({"alt": "media", "ifGenerationMatch": generation})
            answer = self._http.call("GET", f"{self._object(key)}?{query}", self._token.headers,
                                     good=frozenset({200, 404, 412}))
            if answer.status == 200:
                return answer.data, generation  # otherwise it was replaced between the two requests

    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        if not self._written(key, content, "0" if absent else None):
            raise Exists(f"{self.url}/{key} exists already.")

    def replace(self, key: str, content: Content, generation: str) -> None:
        if not self._written(key, content, generation):
            raise Changed(f"{self.url}/{key} has been replaced meanwhile.")

    def _written(self, key: str, content: Content, generation: str | None) -> bool:
        """Whether the object was of that generation ("0": absent) and is now this content."""
        crc = _crc32c(content)
        meta = json.dumps({"name": self._prefix + key, "crc32c": crc})
        head = (f"--{BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{meta}\r\n"
                f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n").encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()
        query = {"uploadType": "multipart"} | ({} if generation is None else {"ifGenerationMatch": generation})
        kind = {"Content-Type": f"multipart/related; boundary={BOUNDARY}"}

        def check(answer: Answer) -> None:
            if answer.status == 200 and _json(answer).get("crc32c") != crc:
                raise Passing("the server stored another checksum")

        answer = self._http.call("POST", f"{self._uploads}?{urlencode(query)}", lambda: self._token.headers() | kind,
                                 body=lambda: Body(content, head, tail), good=frozenset({200, 404, 412}), check=check)
        if answer.status == 404:
            raise self._no_bucket()
        return answer.status == 200

    def holds(self, key: str, content: Content) -> bool:
        answer = self._http.call("GET", self._object(key), self._token.headers, good=frozenset({200, 404}),
                                 check=_check_json)
        if answer.status == 404:
            return False
        found = _json(answer)
        return found.get("size") == str(content.size) and found.get("crc32c") == _crc32c(content)

    def entries(self, prefix: str) -> list[Entry]:
        found: list[Entry] = []
        for page in self._pages({"prefix": self._prefix + prefix}):
            found += _entries(page, len(self._prefix))
        return sorted(found, key=lambda entry: entry.key)

    def folders(self, prefix: str) -> list[str]:
        inside = self._prefix + prefix
        return sorted(name[len(inside):].rstrip("/") for page in self._pages({"prefix": inside, "delimiter": "/"})
                      for name in page.get("prefixes", []))

    def delete(self, key: str) -> None:
        self._http.call("DELETE", self._object(key), self._token.headers, good=frozenset({200, 204, 404}))

    def _pages(self, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        query = query | {"fields": "items(name,size,updated),prefixes,nextPageToken"}
        while True:
            answer = self._http.call("GET", f"{self._objects}?{urlencode(query)}", self._token.headers,
                                     good=frozenset({200, 404}), check=_check_page)
            if answer.status == 404:
                raise self._no_bucket()
            page = _json(answer)
            yield page
            if not page.get("nextPageToken"):
                return
            query = query | {"pageToken": page["nextPageToken"]}

    def _object(self, key: str) -> str:
        return f"{self._objects}/{quote(self._prefix + key, safe='')}"

    def _no_bucket(self) -> CatsdogsError:
        return CatsdogsError(f"There is no bucket {self.url}: create it, or name another --bucket.")


class _NoToken:
    def headers(self) -> dict[str, str]:
        return {}


class _Token:
    """Refreshes itself shortly before it runs out, however long a run takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None

    def headers(self) -> dict[str, str]:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        headers: dict[str, str] = {}
        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials, _ = google.auth.default(scopes=SCOPES)
                self._credentials.before_request(Request(), "GET", "", headers)
            except DefaultCredentialsError:
                raise CatsdogsError("No Google credentials: run `gcloud auth application-default login`, or set "
                                    "GOOGLE_APPLICATION_CREDENTIALS.") from None
            except TransportError as error:
                raise Passing(f"the token could not be refreshed: {error}") from None
            except GoogleAuthError as error:
                if getattr(error, "retryable", False):
                    raise Passing(f"the token could not be refreshed: {error}") from None
                raise CatsdogsError(f"Google refused the credentials ({error}): sign in again.") from None
        return headers


def _json(answer: Answer) -> dict[str, Any]:
    try:
        found = json.loads(answer.data)
    except ValueError:
        raise Passing("an answer that is no JSON") from None
    return found if isinstance(found, dict) else {}


def _check_json(answer: Answer) -> None:
    if answer.status == 200:
        _json(answer)


def _check_page(answer: Answer) -> None:
    if answer.status == 200:
        try:
            _entries(_json(answer), 0)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Passing("an answer that is no listing") from None


def _entries(page: dict[str, Any], cut: int) -> list[Entry]:
    return [Entry(item["name"][cut:], int(item["size"]), datetime.fromisoformat(item["updated"]).timestamp())
            for item in page.get("items", [])]


def _crc32c(content: Content) -> str:
    checksum = google_crc32c.Checksum()
    with content.open() as file:
        while piece := file.read(PIECE):
            checksum.update(piece)
    return base64.b64encode(checksum.digest()).decode()


def _crc32c_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
