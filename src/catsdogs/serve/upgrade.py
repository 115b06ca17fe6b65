"""A request that asks for another protocol, of which there is none here, is one like any other.

Java's HttpClient, Spring and Ktor ask for HTTP/2 so with every first request. The parser takes all behind such a head
for the other protocol: a body would be missing, and what came of it later be read as requests of its own.
"""

from collections.abc import Iterable
from typing import Any

import httptools


def parser_for(protocol: Any) -> httptools.HttpRequestParser:
    """As uvicorn makes the first one of a connection."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head again, for a new parser. `Connection` stays as it is: by itself it asks for no protocol, and it says
    whether to close."""
    lines = [b"%b: %b\r\n" % line for line in headers if line[0] != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, url, version.encode(), b"".join(lines))
