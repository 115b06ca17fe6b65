"""S3 and what speaks like it."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

from catsdogs.errors import CatsdogsError
from catsdogs.stores.amazon import Amazon, signed
from catsdogs.stores.http import Answer, Body, Http, Passing
from catsdogs.stores.store import PIECE, Changed, Content, Entry, Exists, Missing

LARGEST = 5 * 1024**3  # bytes that S3 takes in one request
MOVED = frozenset({301, 307})
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing


class S3Store:
    def __init__(self, bucket: str, prefix: str, transfers: int, stall_seconds: float) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket, self._prefix = bucket, prefix + "/" if prefix else ""
        self._amazon = Amazon()
        self._region = self._amazon.region
        self._http = Http(transfers, stall_seconds)

    @property
    def requests(self) -> int:
        return self._http.sent

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        part = start or length is not None
        span = {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"} if part else {}
        answer = self._call("GET", key, good=frozenset({200, 206, 404, 416}), extra=span)
        if answer.status == 404:
            raise self._missing(key, answer)
        if answer.status == 416:
            return b""
        whole = answer.status == 200 and bool(part)  # the server may ignore ranges
        return answer.data[start:None if length is None else start + length] if whole else answer.data

    def current(self, key: str) -> tuple[bytes, str]:
        answer = self._call("GET", key, good=frozenset({200, 404}))
        if answer.status == 404:
            raise self._missing(key, answer)
        return answer.data, answer.headers.get("ETag", "")

    def write(self, key: str, content: Content, *, absent: bool = False) -> None:
        if not self._written(key, content, {"If-None-Match": "*"} if absent else {}):
            raise Exists(f"{self.url}/{key} exists already.")

    def replace(self, key: str, content: Content, generation: str) -> None:
        try:
            written = self._written(key, content, {"If-Match": generation})
        except Missing:
            written = False
        if not written:
            raise Changed(f"{self.url}/{key} has been replaced meanwhile.")

    def _written(self, key: str, content: Content, condition: dict[str, str]) -> bool:
        if content.size > LARGEST:
            raise CatsdogsError(f"{key} has {content.size:,} bytes, S3 takes 5 GiB in one piece: split the file.")
        # Both headers are compared with what arrives: the first by every server that checks signatures.
        extra = {"Content-Type": "application/octet-stream", "x-amz-sdk-checksum-algorithm": "SHA256",
                 "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(content.sha256)).decode(), **condition}
        answer = self._call("PUT", key, good=frozenset({200, 404, 409, 412}), extra=extra, content=content,
                            check=_check_settled)
        if answer.status == 404:
            raise self._missing(key, answer)
        return answer.status == 200

    def holds(self, key: str, content: Content) -> bool:
        answer = self._call("HEAD", key, good=frozenset({200, 404}), extra={"x-amz-checksum-mode": "ENABLED"})
        if answer.status == 404 or int(answer.headers.get("Content-Length", "-1")) != content.size:
            return False
        tag = answer.headers.get("ETag", "").strip('"')
        if len(tag) == 32 and "x-amz-server-side-encryption-aws-kms-key-id" not in answer.headers:
            return tag == _md5(content)
        sha = answer.headers.get("x-amz-checksum-sha256", "")
        if sha:
            return base64.b64decode(sha).hex() == content.sha256
        return hashlib.sha256(self.read(key)).hexdigest() == content.sha256

    def entries(self, prefix: str) -> list[Entry]:
        found: list[Entry] = []
        for page in self._pages({"prefix": self._prefix + prefix}):
            found += _entries(page, len(self._prefix))
        return sorted(found, key=lambda entry: entry.key)

    def folders(self, prefix: str) -> list[str]:
        inside = self._prefix + prefix
        return sorted(unquote(item.findtext("Prefix", ""))[len(inside):].rstrip("/")
                      for page in self._pages({"prefix": inside, "delimiter": "/"})
                      for item in page.iter("CommonPrefixes"))

    def delete(self, key: str) -> None:
        self._call("DELETE", key, good=frozenset({200, 204, 404}))

    def _pages(self, query: dict[str, str]) -> Iterator[ElementTree.Element]:
        query = query | {"list-type": "2", "encoding-type": "url"}
        while True:
            answer = self._call("GET", None, query=query, good=frozenset({200, 404}), check=_check_page)
            if answer.status == 404:
                raise self._missing("", answer)
            page = _xml(answer)
            yield page
            token = page.findtext("NextContinuationToken")
            if not token:
                return
            query = query | {"continuation-token": token}

    def _call(
        self, method: str, key: str | None, *, good: frozenset[int], extra: dict[str, str] | None = None,
        query: dict[str, str] | None = None, content: Content | None = None, check: Any = None,
    ) -> Answer:
        asked = dict(extra or {})
        for _ in range(2):
            url = self._address(key, query)
            answer = self._http.call(
                method, url, partial(self._signed, method, url, asked, content), check=check,
                body=None if content is None else lambda: Body(content), good=good | MOVED)
            if answer.status not in MOVED:
                return answer
            self._region = answer.headers.get("x-amz-bucket-region", self._region)  # the bucket lives elsewhere
        raise CatsdogsError(f"{self.url} is not in the region {self._region}: set AWS_REGION to the bucket's own.")

    def _address(self, key: str | None, query: dict[str, str] | None) -> str:
        path = "" if key is None else quote(self._prefix + key, safe="/~")
        end = f"?{urlencode(sorted(query.items()), quote_via=quote)}" if query else ""
        if self._amazon.endpoint:
            return f"{self._amazon.endpoint.rstrip('/')}/{self._bucket}/{path}{end}"
        host = f"s3.{self._region}.amazonaws.com" + (".cn" if self._region.startswith("cn-") else "")
        if "." in self._bucket:  # TLS certificates cover one label
            return f"https://{host}/{self._bucket}/{path}{end}"
        return f"https://{self._bucket}.{host}/{path}{end}"

    def _signed(self, method: str, url: str, extra: dict[str, str], content: Content | None) -> dict[str, str]:
        digest = EMPTY if content is None else content.sha256
        return signed(method, url, extra, digest, self._amazon.keys(), self._region)

    def _missing(self, key: str, answer: Answer) -> CatsdogsError:
        if b"NoSuchBucket" in answer.data or not key:
            return CatsdogsError(f"There is no bucket {self.url}: create it, or name another --bucket.")
        return Missing(key, self.url)


def _xml(answer: Answer) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(answer.data)
    except ElementTree.ParseError:
        raise Passing("an answer that is no XML") from None
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    return root


def _check_settled(answer: Answer) -> None:
    if answer.status == 409:
        raise Passing("another conditional write to this key is under way: the next attempt knows how it ended")


def _check_page(answer: Answer) -> None:
    if answer.status == 200:
        page = _xml(answer)
        try:
            _entries(page, 0)
        except ValueError:
            page.tag = ""
        if page.tag != "ListBucketResult":
            raise Passing("an answer that is no listing")


def _entries(page: ElementTree.Element, cut: int) -> list[Entry]:
    return [Entry(unquote(item.findtext("Key", ""))[cut:], int(item.findtext("Size", "")),
                  datetime.fromisoformat(item.findtext("LastModified", "")).timestamp())
            for item in page.iter("Contents")]


def _md5(content: Content) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with content.open() as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
