"""Memory that is gone, in the words of those who ask for it."""

import torch

REFUSED = ("allocate memory", "not enough memory", "bad allocation", "std::bad_alloc")
"""In torch's and the engine's words on a processor, where they raise a plain RuntimeError."""


def is_gone(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in str(error) for words in REFUSED)
