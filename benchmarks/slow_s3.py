"""An S3-like server in memory that takes its time: `slow_s3.py PORT MILLISECONDS` answers each request so much later.

moto_server keeps one core busy with a few hundred requests a second, so it would measure itself.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import Mapping
from email.utils import formatdate
from xml.sax.saxutils import escape

from aiohttp import web

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
objects: dict[str, tuple[bytes, str, str]] = {}  # key -> bytes, ETag, Last-Modified


async def answer(request: web.Request) -> web.StreamResponse:
    data = await request.read()
    await asyncio.sleep(DELAY)
    _, _, key = request.path.lstrip("/").partition("/")
    if request.method == "PUT" and not key:
        return web.Response()
    if request.method == "PUT":
        if request.headers.get("If-None-Match") == "*" and key in objects:
            return _error(412, "PreconditionFailed")
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        objects[key] = (data, tag, formatdate(usegmt=True))
        return web.Response(headers={"ETag": tag})
    if request.method == "DELETE":
        objects.pop(key, None)
        return web.Response(status=204)
    if not key:
        return _listing(request.query)
    if key not in objects:
        return _error(404, "NoSuchKey")
    data, tag, modified = objects[key]
    headers = {"ETag": tag, "Last-Modified": modified, "Accept-Ranges": "bytes"}
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(len(data))})
    if span := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "")):
        first, last = int(span[1]), min(int(span[2] or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return web.Response(status=206, body=data[first:last + 1], headers=headers)
    return web.Response(body=data, headers=headers)


def _listing(query: Mapping[str, str]) -> web.Response:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token", "") or query.get("start-after", "")
    most = min(int(query.get("max-keys", "1000")), 1000)
    lines: list[str] = []
    prefixes: list[str] = []
    token = last = ""
    for key in sorted(key for key in objects if key.startswith(prefix) and key > after):
        common = key[:key.find(delimiter, len(prefix)) + 1] if delimiter and delimiter in key[len(prefix):] else ""
        if common and prefixes and prefixes[-1] == common:
            last = key
            continue
        if len(lines) + len(prefixes) == most:
            token = last
            break
        last = key
        if common:
            prefixes.append(common)
            continue
        data, tag, _ = objects[key]
        lines.append(f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size><ETag>{escape(tag)}</ETag>"
                     "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass>"
                     "</Contents>")
    more = f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    more += f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    common_lines = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in prefixes)
    text = (f'<?xml version="1.0"?><ListBucketResult xmlns="{NAMESPACE}"><Name>b</Name>'
            f"<Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(lines) + len(prefixes)}</KeyCount><MaxKeys>{most}</MaxKeys>{more}{''.join(lines)}"
            f"{common_lines}</ListBucketResult>")
    return web.Response(text=text, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code><Message>{code}</Message></Error>",
                        content_type="application/xml")


if __name__ == "__main__":
    DELAY = float(sys.argv[2]) / 1000
    application = web.Application(client_max_size=1 << 31)
    application.router.add_route("*", "/{key:.*}", answer)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
