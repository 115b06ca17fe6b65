import multiprocessing
from pathlib import Path

import pytest
import torch

from catsdogs.cli import main
from catsdogs.train.device import bfloat16_is_faster, choose
from catsdogs.train.processes import Processes


def _burn() -> None:
    while True:
        sum(range(10_000))


def test_the_choice_of_precision_does_not_flicker_on_a_busy_machine() -> None:
    """It decides the weights to the bit: other programs that take the processor must not change it."""
    quiet = bfloat16_is_faster()
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_burn, daemon=True) for _ in range(4)]
    for process in others:
        process.start()
    try:
        assert [bfloat16_is_faster() for _ in range(6)] == 6 * [quiet]
    finally:
        for process in others:
            process.kill()


def test_the_probe_leaves_the_number_of_threads_alone() -> None:
    threads = torch.get_num_threads()
    bfloat16_is_faster()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_named_precision_is_taken_unmeasured(precision: str) -> None:
    assert choose(True, precision).precision == getattr(torch, precision)  # type: ignore[arg-type]


@pytest.mark.parametrize(("flags", "words"), [
    (["--require-gpu", "--force-cpu"], "contradict each other"),
    pytest.param(["--require-gpu"], "No GPU can be used here", marks=pytest.mark.skipif(
        torch.cuda.is_available(), reason="there is a GPU")),
])
def test_a_gpu_that_is_asked_for_and_cannot_be_had(
    flags: list[str], words: str, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data-dir", str(data_dir), "--artifact-dir", str(tmp_path), "--output-model",
                 str(tmp_path / "model.pt"), "--mlflow-tracking-uri", "none", *flags]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("real", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(
    real: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few machines have a T4 or a V100: torch's answers of one."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", torch.backends.cudnn.deterministic)  # back afterwards
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or real)
    assert choose(False).precision == expected
    assert choose(False, "bfloat16").precision == torch.bfloat16, "who asks for it gets it"


@pytest.mark.parametrize("first", [True, False])
def test_every_process_computes_as_the_first_one_does(first: bool) -> None:
    class Other(Processes):
        def from_first(self, value: object) -> object:
            return first

    chosen = choose(True, "auto", Other(rank=1, count=2))
    assert chosen.precision == (torch.bfloat16 if first else torch.float32)
