import json
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.settings.training import TrainSettings
from catsdogs.train import auto
from catsdogs.train.auto import chosen
from catsdogs.train.keeper import Diverged
from tests.models import train_settings


def test_every_network_is_tried_for_its_share_and_the_best_is_taken(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    settled = chosen(settings).settings
    found = json.loads((settings.artifact_dir / "auto.json").read_text())
    assert found["val_accuracy"].keys() == {"baseline", "wider", "fast"}
    assert settled.model_variant == found["chosen"]
    assert found["val_accuracy"][settled.model_variant] == max(found["val_accuracy"].values())
    assert not list((settings.artifact_dir / "auto").glob("checkpoint*")), "trials leave nothing to go on from"

    def again(*_: object) -> float:
        raise AssertionError("it chooses again")

    monkeypatch.setattr(auto, "_accuracy", again)
    assert chosen(settings).settings.model_variant == settled.model_variant
    with pytest.raises(AssertionError, match="it chooses again"):
        chosen(settings.model_copy(update={"seed": 7}))
    (settings.artifact_dir / "auto.json").write_text("damaged")
    with pytest.raises(AssertionError, match="it chooses again"):
        chosen(settings)


def test_the_one_with_the_highest_accuracy_wins(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {"baseline": 0.6, "wider": 0.9, "fast": 0.7}
    monkeypatch.setattr(auto, "_accuracy", lambda settings, seconds: accuracies[settings.model_variant])
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    assert chosen(settings) == (settings.model_copy(update={"model_variant": "wider"}), pytest.approx(0.3))
    assert chosen(settings).taken == 0, "what was found before takes no time"


def test_it_needs_a_time(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --time-budget"):
        chosen(train_settings(data_dir, tmp_path, model_variant="auto"))


def test_a_named_network_is_left_alone(data_dir: Path, tmp_path: Path) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="fast")
    assert chosen(settings).settings is settings


@pytest.mark.parametrize(("error", "reason"), [
    (Diverged("The loss is nan at step 2 of epoch 1: lower --learning-rate (now 0.001)."), "The loss is nan"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "lower --batch-size"),  # in torch's words
])
def test_a_network_that_fails_is_said_and_the_others_are_compared(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: Exception, reason: str,
) -> None:
    real = auto.fit

    def fails(*arguments: Any, variant: str, **named: Any) -> Any:
        if variant == "wider":
            raise error
        return real(*arguments, variant=variant, **named)

    monkeypatch.setattr(auto, "fit", fails)
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    assert chosen(settings).settings.model_variant in ("baseline", "fast")
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "variant_failed" in line]
    assert '"variant": "wider"' in said and reason in said
    assert json.loads((settings.artifact_dir / "auto.json").read_text())["val_accuracy"].keys() == {"baseline", "fast"}
    monkeypatch.setattr(auto, "fit", lambda *_, **__: pytest.fail("it fails once more"))
    assert chosen(settings).settings.model_variant in ("baseline", "fast")


def test_where_every_network_fails_the_reason_is_raised_and_nothing_is_remembered(
    data_dir: Path, tmp_path: Path
) -> None:
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0, learning_rate=1e30)
    with pytest.raises(CatsdogsError, match=r"Every network failed.* lower --learning-rate \(now 1e\+30\)"):
        chosen(settings)
    assert not list(settings.artifact_dir.glob("**/*.*")), "neither checkpoints nor a verdict"


class Counted:
    """In the place of a comparison: counts what is tried; the third is cut short once."""

    def __init__(self) -> None:
        self.tried: list[str] = []

    def __call__(self, settings: TrainSettings, seconds: float) -> float:
        self.tried.append(settings.model_variant)
        if len(self.tried) == 3:
            raise KeyboardInterrupt
        return {"baseline": 0.6, "wider": 0.7, "fast": 0.9}[settings.model_variant]


def test_a_comparison_that_is_cut_short_in_its_last_third_repeats_that_third_only(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Counted()
    monkeypatch.setattr(auto, "_accuracy", compared)
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    with pytest.raises(KeyboardInterrupt):
        chosen(settings)
    assert chosen(settings).settings.model_variant == "fast"
    assert compared.tried == ["baseline", "wider", "fast", "fast"]


@pytest.mark.parametrize("change", ["code_digest", "versions"])
def test_what_other_code_found_does_not_count(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(auto, "_accuracy", lambda settings, seconds: float(len(asked.append("") or asked)))
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0)
    chosen(settings)
    chosen(settings)
    assert len(asked) == 3
    monkeypatch.setattr(auto, change, lambda: "other", raising=False)
    chosen(settings)
    assert len(asked) == 6


def test_networks_are_compared_without_the_teacher_which_is_said(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A teacher that does not exist: whoever asked it would be told so."""
    settings = train_settings(data_dir, tmp_path, model_variant="auto", time_budget=10.0,
                              teacher=str(tmp_path / "nowhere"))
    settled = chosen(settings).settings
    assert settled.model_variant in ("baseline", "wider", "fast") and settled.teacher == settings.teacher
    assert capsys.readouterr().err.count("teacher_left_out") == 1
    chosen(settings)
    assert "teacher_left_out" not in capsys.readouterr().err, "nothing is compared again"
