"""torch says in errors of its own that memory is gone; this says it in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from catsdogs.errors import CatsdogsError
from catsdogs.nets.memory import is_gone


class OutOfMemory(CatsdogsError):
    """There is less than this batch needs."""


@contextmanager
def enough_memory(batch_size: int) -> Iterator[None]:
    """Raises OutOfMemory, which says what to lower, where memory runs out inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_gone(error):
            raise
        raise OutOfMemory(
            f"Out of memory: lower --batch-size (now {batch_size}), or preprocess with a smaller --image-size; the "
            "last checkpoint stays."
        ) from None
