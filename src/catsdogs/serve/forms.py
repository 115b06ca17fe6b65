"""The ordinary form, a single file called `file`, found by looking for its boundary."""

import re

TYPE = re.compile(rb"multipart/form-data; ?boundary=(\"?)([A-Za-z0-9'()+_,./:=?-]{1,70})\1", re.IGNORECASE)
HEADERS = re.compile(rb'Content-Disposition: form-data; name="file"; filename="[^"\\\x00-\x1f\x7f]*"'
                     rb"(?:\r\nContent-Type: [\x20-\x7e]*)?(?:\r\nContent-Length: [0-9]*)?", re.IGNORECASE)
LONGEST_HEADERS = 1024


def boundary_of(content_type: bytes) -> bytes | None:
    """Of an ordinary form; None for whatever else."""
    found = TYPE.fullmatch(content_type)
    return found[2] if found else None


def only_file(body: bytes, boundary: bytes) -> bytes | None:
    """What the only file holds; None where the form is unusual in any way, and the full parser is to judge it."""
    start = len(boundary) + 4
    if not body.startswith(b"--" + boundary + b"\r\n"):
        return None
    headers_end = body.find(b"\r\n\r\n", start, start + LONGEST_HEADERS)
    if headers_end < 0 or not HEADERS.fullmatch(body, start, headers_end):
        return None
    closing = b"\r\n--" + boundary
    end = body.find(closing, headers_end + 4)  # the first one ends the file, whatever follows
    if end < 0 or body[end + len(closing):] not in (b"--\r\n", b"--"):
        return None
    return body[headers_end + 4:end]
