"""What may be said of an error: its first line, without a password."""

import re

LONGEST = 200


def first_line(error: BaseException) -> str:
    return without_password(str(error).strip().split("\n")[0])[:LONGEST] or type(error).__name__


def without_password(text: str) -> str:
    """`text` without the `user:password@` of any address in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
