"""The short way finds what the full parser finds, or leaves it to it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from catsdogs.serve.errors import Refused
from catsdogs.serve.forms import boundary_of, only_file
from catsdogs.serve.uploads import uploaded

PHOTO = b"GIF89a\r\n--\r\n\r\n--x\x00\xff"
SOUND = (b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\nContent-Type: image/gif\r\n\r\n%s\r\n'
         b"--b--\r\n")
TYPE = b"multipart/form-data; boundary=b"


def full(body: bytes, content_type: bytes = TYPE) -> bytes | int:
    """What Starlette's parser finds, or the status of its refusal."""
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "path": "/predict", "query_string": b"",
                       "headers": [(b"content-type", content_type)]}, receive)
    try:
        return asyncio.run(uploaded(request))
    except Refused as refused:
        return refused.status


def short(body: bytes, content_type: bytes = TYPE) -> bytes | None:
    boundary = boundary_of(content_type)
    return None if boundary is None else only_file(body, boundary)


@pytest.mark.parametrize("photo", [PHOTO, b"", b"\r\n", b"--b--", b"\r\n--a--\r\n"])
def test_the_forms_of_usual_clients_go_the_short_way(photo: bytes) -> None:
    curl = SOUND % photo
    requests = curl.replace(b"\r\nContent-Type: image/gif", b"")
    aiohttp = curl.replace(b"image/gif", b"application/octet-stream").replace(b'"p"', '"Käse (1).jpg"'.encode())
    for body in (curl, requests, aiohttp, curl[:-2]):
        assert short(body) == photo == full(body)
    long = b"----WebKitFormBoundaryABC'()+_,./:=?-9"
    body = SOUND.replace(b"--b", b"--" + long) % photo
    assert short(body, b'multipart/form-data; boundary="' + long + b'"') == photo
    assert short(body, b"Multipart/Form-Data; boundary=" + long) == photo


@pytest.mark.parametrize("body", [
    b"", SOUND[:-4] % PHOTO, b"\r\n" + SOUND % PHOTO, SOUND % PHOTO + b"more",
    (SOUND % PHOTO)[:-4] + SOUND % PHOTO,  # two files
    (SOUND % PHOTO).replace(b'"file"', b'"photo"'), (SOUND % PHOTO).replace(b'; filename="p"', b""),
    (SOUND % PHOTO).replace(b'"p"', b'"a\\"b"'), (SOUND % PHOTO).replace(b"image/gif", b"a\r\n b"),
    (SOUND % PHOTO).replace(b"Content-Type", b"Content-Transfer-Encoding"),
    (SOUND % (b"a\r\n--b\r\nX: y\r\n\r\nz")), (SOUND % (b"a\r\n--bc")),
])
def test_whatever_is_unusual_is_left_to_the_full_parser(body: bytes) -> None:
    assert short(body) is None


@pytest.mark.parametrize("content_type", [b"", b"application/json", b"multipart/form-data", TYPE + b"; charset=utf-16",
                                          b"multipart/form-data; boundary=", b"multipart/mixed; boundary=b"])
def test_so_is_an_unusual_type(content_type: bytes) -> None:
    assert short(SOUND % PHOTO, content_type) is None


EDITS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 8), st.one_of(
    st.binary(max_size=6), st.sampled_from([b"\r\n", b"--b", b"--b--", b"\r\n--b\r\n", b'"', b"; ", b": "]))),
                 max_size=3)


@given(EDITS)
@settings(max_examples=800, database=None)
def test_both_ways_agree_on_forms_that_were_edited(edits: list[tuple[int, int, bytes]]) -> None:
    body = bytearray(SOUND % PHOTO)
    for at, cut, put in edits:
        body[at:at + cut] = put
    if (found := short(bytes(body))) is not None:
        assert found == full(bytes(body))
