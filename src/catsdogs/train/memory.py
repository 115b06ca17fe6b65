"""torch says in errors of its own that memory is gone; this says it in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from catsdogs.errors import CatsdogsError

REFUSED = ("allocate memory", "not enough memory", "bad allocation", "std::bad_alloc")
"""In torch's words on a processor, where it raises a plain RuntimeError."""


class OutOfMemory(CatsdogsError):
    """There is less than this batch needs."""


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Raises OutOfMemory, which says what to lower, where memory runs out inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        raise OutOfMemory(
            f"Out of memory: lower --batch-size (now {batch_size}), or preprocess with a smaller --image-size; the "
            "last checkpoint stays."
        ) from None


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in str(error) for words in REFUSED)
