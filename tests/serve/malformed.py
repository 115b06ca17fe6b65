"""Requests that no honest client sends: for HTTP, for forms, and for the decoders of photos."""

import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from PIL import Image

from tests.hostile import hostile, repeating_its_last_scan, run_lengths
from tests.photos import encoded, picture

BOUNDARY = b"b"
PATIENCE = 30.0
GRACE = {503, 504}  # what may be answered although it is a 5xx


def seeds() -> dict[str, bytes]:
    """A sound photo of every format, of several kinds each, and two that cost far more than they should."""
    base = picture(5, (96, 64))
    frames = [picture(seed, (40, 30)) for seed in range(3)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": encoded(base, exif=exif), "progressive": encoded(base, progressive=True, optimize=True),
        "CMYK": encoded(base.convert("CMYK")), "PNG": encoded(base, "PNG"),
        "palette": encoded(base.quantize(16), "PNG", transparency=3), "16 bit": encoded(
            Image.new("I;16", (40, 30), 300), "PNG"),
        "GIF": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "WEBP": encoded(base, "WEBP"), "lossless": encoded(base, "WEBP", lossless=True),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "BMP": encoded(base, "BMP"),
        "run lengths": run_lengths(), "scans": repeating_its_last_scan(600),
    }


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A photo that was damaged in one of the ways that break decoders."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        at, kind = chance.randrange(len(content) or 1), chance.randrange(7)
        if kind == 0 and content:
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and content:
            content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
        elif kind == 2:
            del content[at:at + chance.choice((1, 2, 4, 64))]
        elif kind == 3:
            content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 64)))
        elif kind == 4:
            content[at:at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff"))
        elif kind == 5:
            content = content[:at]
        else:
            start = chance.randrange(len(content) or 1)
            content[at:at] = content[start:start + chance.choice((4, 16, 256))]
    return bytes(content)


def form(data: bytes, path: str = "/predict") -> bytes:
    """A whole request that sends these bytes as the photo."""
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\n' + data + b"\r\n--b--\r\n"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


PATHS = st.sampled_from(["/predict", "/predict/batch", "/explain", "/v2/models/catsdogs/infer", "/model", "/", "/%00",
                         "//", "/predict?format=png", "/v2/models/%ff/infer"])
METHODS = st.sampled_from(["POST", "GET", "PUT", "HEAD", "OPTIONS", "P\u00d6ST", "POST\x00", ""])
HEADERS = st.lists(st.one_of(
    st.sampled_from([b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
                     b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Content-Type: application/json",
                     b"Content-Type: multipart/form-data; boundary=b", b"Content-Type: multipart/form-data; boundary=",
                     b"Content-Type: multipart/form-data; boundary=b; charset=undefined", b"Expect: 100-continue",
                     b"Content-Encoding: gzip", b"X-Request-ID: \xff\xfe", b"Accept: image/png", b"Host: y", b": ",
                     b"Authorization: Bearer \xff", b"Connection: upgrade", b"Upgrade: h2c", b"Content-Type: \xff"]),
    st.binary(max_size=40)), max_size=6)
PARTS = st.lists(st.one_of(
    st.sampled_from([b"--b\r\n", b"--b--\r\n", b"--b--", b"\r\n", b"\r\n\r\n", b'name="file"', b'filename="p"',
                     b'Content-Disposition: form-data; name="file"; filename="p"\r\n\r\n',
                     b"Content-Type: image/png\r\n",
                     b"Content-Disposition: form-data; name=\"file\"\r\n\r\n", b"Content-Disposition: x\r\n",
                     b'{"image": "', b'"}', b'{"inputs": [', b"[[[[[[", b"5\r\n", b"0\r\n\r\n", b"ffffffffff\r\n"]),
    st.binary(max_size=60)), max_size=12)


SOUND = {
    "multipart/form-data; boundary=b": (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\nGIF89a\r\n--b--\r\n'),
    "application/json": b'{"image": "R0lGODdhCAAIAIAAAP///////ywAAAAACAAIAAACB4SPqcvtXQAAOw=="}',
    "application/json; charset=x": (
        b'{"inputs": [{"name": "photos", "shape": [1], "datatype": "BYTES", "data": ["R0lGODdh"]}]}'),
}
CHARSETS = st.sampled_from(["", "; charset=utf-8", "; charset=undefined", "; charset=utf-16", "; charset=rot13",
                            "; charset=punycode"])
EDITS = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 8), st.binary(max_size=6)), max_size=3)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """A sound request whose body was edited in up to three places, of any length and charset that it says."""
    kind, sound = draw(st.sampled_from(list(SOUND.items())))
    body = bytearray(sound)
    for at, cut, put in draw(EDITS):
        body[at:at + cut] = put
    head = f"POST {draw(PATHS)} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}{draw(CHARSETS)}\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


@st.composite
def strange(draw: st.DrawFn) -> bytes:
    """Bytes that are nearly HTTP, with a body that is nearly a form, JSON or chunks."""
    body = b"".join(draw(PARTS))
    line = f"{draw(METHODS)} {draw(PATHS)} HTTP/1.1".encode("latin-1") if draw(st.integers(0, 9)) else draw(st.binary())
    headers = [b"Host: x", *draw(HEADERS)]
    if draw(st.booleans()):
        headers.append(f"Content-Length: {len(body) + draw(st.sampled_from([0, 0, 0, -1, 1]))}".encode())
    return b"\r\n".join([line, *headers, b"", b""]) + body


def requests() -> st.SearchStrategy[bytes]:
    return st.one_of(edited(), strange())


@dataclass
class Sender:
    """Sends requests to a port, one connection each, and counts what came back."""

    port: int
    patience: float = PATIENCE  # for an answer to begin: what is nearly HTTP may leave the server waiting for more
    statuses: Counter[int] = field(default_factory=Counter)
    first_bad: bytes = b""

    def send(self, request: bytes) -> int:
        """The status; 0 where none came."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
            answer = b""
            try:
                client.sendall(request)
                client.settimeout(self.patience)
                while b"\r\n" not in answer and (more := client.recv(4096)):
                    answer += more
            except (ConnectionResetError, BrokenPipeError, TimeoutError):
                pass  # it had read enough to refuse, or waits for a body that never comes
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
        self.statuses[status] += 1
        if status >= 500 and status not in GRACE:
            self.first_bad = self.first_bad or request
        return status


def bombard(send: Callable[[bytes], object], count: int, seed: int) -> None:
    """`count` damaged photos, the same ones for the same seed."""
    chance, photos = random.Random(seed), list(seeds().values())
    for _ in range(count):
        send(form(mutate(chance.choice(photos), chance), chance.choice(("/predict", "/explain?format=png"))))


def burden(send: Callable[[bytes], object], count: int) -> None:
    """`count` photos that would be decoded for seconds or hours, or take most of the memory, in turn."""
    photos = [data for data, _ in hostile().values()]
    for number in range(count):
        send(form(photos[number % len(photos)], ("/predict", "/explain?format=png")[number // len(photos) % 2]))


def memory(pid: int) -> int:
    """Bytes of anonymous memory of a process and of those that it forked: files that are mapped do not count."""
    with open(f"/proc/{pid}/status") as lines:
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        forked = [int(child) for child in file.read().split()]
    return 1024 * int(found["RssAnon"]) + sum(memory(child) for child in forked)


def trickle(port: int, seconds: float) -> socket.socket:
    """A client that has announced a photo and sends a byte; its owner sends on and closes it."""
    client = socket.create_connection(("127.0.0.1", port), timeout=seconds + PATIENCE)
    client.sendall(form(b"x" * 10_000)[:200])
    return client


def pump(clients: list[socket.socket], every: float, until: Callable[[], bool]) -> None:
    """One byte from each client, every so many seconds."""
    while not until():
        for client in clients:
            client.sendall(b"x")
        time.sleep(every)
