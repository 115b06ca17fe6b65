import pytest
import torch

from catsdogs.errors import CatsdogsError
from catsdogs.train.memory import enough_memory


def numpys() -> None:
    raise MemoryError


@pytest.mark.parametrize("fails", [lambda: torch.empty(1 << 60, dtype=torch.uint8), numpys])
def test_memory_that_runs_out_says_what_to_lower(fails: object) -> None:
    with pytest.raises(CatsdogsError, match=r"lower --batch-size \(now 4096\), or preprocess with a smaller"), \
            enough_memory(4096):
        fails()  # type: ignore[operator]


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shape"), enough_memory(64):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
