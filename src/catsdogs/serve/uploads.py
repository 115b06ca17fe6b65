"""The photos that a request carries as a multipart form."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from catsdogs.serve.errors import Refused

MAX_FILES = 4
MAX_FIELDS = 16
SLICE = 16 * 1024
"""Bytes to parse between two looks at other connections: blanks behind a boundary take the parser 0.5 us each, so that
20 MB of them would hold up everybody for 10 s."""
CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"latin1")
"""Of forms. Any other name is refused before Python looks for it: it remembers every name that it does not find, and
knows codecs such as punycode, by which a field of 256 KB takes 1.2 s, and one of 1 MB sixteen times as long."""


class Form(MultiPartParser):
    """Starlette's parser, but files stay in memory, and a form that is cut off raises MultiPartException."""

    # Parts beyond 1 MB would go to a temporary file, which a container with a read-only root cannot write.
    # BodyLimit bounds what they take in memory.
    spool_max_size = sys.maxsize

    def __init__(self, request: Request, max_files: int) -> None:
        super().__init__(request.headers, self._whole(request.stream()), max_files=max_files, max_fields=MAX_FIELDS)
        self.ended = False

    def on_end(self) -> None:
        self.ended = True

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(stream):
            async for chunk in stream:
                for start in range(0, len(chunk), SLICE):
                    yield chunk[start:start + SLICE]
                    if start + SLICE < len(chunk):
                        await asyncio.sleep(0)
        if not self.ended:  # raised in here, so that the parser closes the files it has opened
            raise MultiPartException("It ends before its closing boundary.")


def content_type(request: Request) -> str:
    """Without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def uploaded(request: Request) -> bytes:
    """The first file called `file`.

    Raises Refused: 400 for a form that is broken or cut off, 422 for one without such a file.
    """
    files = await _files(request, ("file",), MAX_FILES)
    if not files:
        raise Refused(422, "no-file", "The form has no file field named `file`.")
    return files[0]


async def uploaded_many(request: Request, most: int) -> list[bytes]:
    """Every file called `file` or `files`, in order. Raises Refused like `uploaded`, and 413 for more than `most`."""
    files = await _files(request, ("file", "files"), most)
    if not files:
        raise Refused(422, "no-file", "The form has no file field named `file` or `files`.")
    return files


async def _files(request: Request, names: tuple[str, ...], most: int) -> list[bytes]:
    if content_type(request) != "multipart/form-data":
        raise Refused(422, "no-file", f"Send the photo as the multipart field `{names[0]}`.")
    charset = parse_options_header(request.headers["content-type"])[1].get(b"charset", CHARSETS[0])
    if charset.lower() not in CHARSETS:
        raise Refused(400, "bad-form", "The form names another charset than UTF-8.")
    parser = Form(request, most)
    async with aclosing(parser.stream):
        try:
            form = await parser.parse()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise Refused(413 if len(names) > 1 else 400, "too-many-photos",
                              f"At most {most} files are taken at once.") from None
            raise Refused(400, "bad-form", f"The form cannot be read: {error.message}") from None
    try:
        return [await value.read() for name, value in form.multi_items()
                if name in names and isinstance(value, UploadFile)]
    finally:
        await form.close()
