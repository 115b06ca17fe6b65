"""The bytes of the photo that a request carries as the multipart field `file`."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from catsdogs.serve.errors import Refused

MAX_FILES = 4
MAX_FIELDS = 16


class Form(MultiPartParser):
    """Starlette's parser, but files stay in memory, and a form that is cut off raises MultiPartException."""

    # Parts beyond 1 MB would go to a temporary file, which a container with a read-only root cannot write.
    # BodyLimit bounds what they take in memory.
    spool_max_size = sys.maxsize

    def __init__(self, request: Request) -> None:
        super().__init__(request.headers, self._whole(request.stream()), max_files=MAX_FILES, max_fields=MAX_FIELDS)
        self.ended = False

    def on_end(self) -> None:
        self.ended = True

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(stream):
            async for chunk in stream:
                yield chunk
        if not self.ended:  # raised in here, so that the parser closes the files it has opened
            raise MultiPartException("It ends before its closing boundary.")


async def uploaded(request: Request) -> bytes:
    """Raises Refused: 400 for a form that is broken or cut off, 422 for one without a file called `file`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refused(422, "no-file", "Send the photo as the multipart field `file`.")
    parser = Form(request)
    async with aclosing(parser.stream):
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise Refused(400, "bad-form", f"The form cannot be read: {error.message}") from None
        except UnicodeError:
            # Python has a codec `undefined`, which fails for every text, and a client may ask for it by name.
            raise Refused(400, "bad-form", "The form cannot be read in the charset that it names.") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refused(422, "no-file", "The form has no file field named `file`.")
        return await file.read()
    finally:
        await form.close()
