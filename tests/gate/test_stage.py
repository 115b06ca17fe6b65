import json
from pathlib import Path

import numpy as np
import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError
from catsdogs.gate.judge import Answered, judge
from catsdogs.gate.report import GateReport
from catsdogs.slices import by_thirds
from catsdogs.gate.stage import GateResult, gate
from catsdogs.settings.gate import GateLimits, GateSettings
from tests.gate.processed import model, processed_photos
from tests.tiny_model import CLASSES, SIZE


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return processed_photos(tmp_path_factory.mktemp("gate"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return model(tmp_path / "good")


def judged(data_dir: Path, challenger: Path, champion: Path | None = None, **options: object) -> GateResult:
    named = {"min_slice_photos": 20, "max_calibration_error": 0.5} | options
    return gate(GateSettings(challenger=challenger, champion=champion, data_dir=data_dir,
                             output_json=challenger.parent / "gate.json", **named))  # type: ignore[arg-type]


def broken(result: GateResult) -> set[str]:
    return {check.name for check in result.report.checks if not check.passed}


def test_a_good_model_passes_alone_and_says_that_it_was_alone(data_dir: Path, good: Path) -> None:
    result = judged(data_dir, good)
    assert result.passed and result.report.paired is None
    assert "no champion: only the limits were checked" in result.text()
    assert GateReport.read(result.output_json, "x") == result.report
    names = {part.name for part in result.report.challenger.slices}
    assert {"cat", "dog", "small photos", "large photos", "dark brightness", "sharp sharpness"} <= names


def test_the_same_model_always_passes(data_dir: Path, good: Path) -> None:
    result = judged(data_dir, good, good)
    assert result.passed and "the challenger is the champion" in result.text()
    assert judged(data_dir, good, good, margin=0.001).passed  # for which the photos are far too few


def test_a_broken_export_of_the_champions_own_weights_is_refused(data_dir: Path, good: Path, tmp_path: Path) -> None:
    """Two files of one model.pt: its digest is the same, their answers are not."""
    result = judged(data_dir, model(tmp_path / "exported", biased=1.2), good, min_accuracy=0.5, min_slice_accuracy=0.0)
    assert result.report.champion is not None and result.report.challenger.version == result.report.champion.version
    assert broken(result) == {"not worse"}


def test_a_slower_model_is_refused(data_dir: Path, good: Path, tmp_path: Path) -> None:
    """A model of microseconds against one that reads a thousand times as many pixels."""
    slow = model(tmp_path / "slow", image_size=256, height=256, width=256, model_digest="b" * 64)
    assert broken(judged(data_dir, slow, good)) == {"latency"}


def test_a_worse_model_is_refused_with_the_reason(data_dir: Path, good: Path, tmp_path: Path) -> None:
    result = judged(data_dir, model(tmp_path / "biased", biased=1.2, model_digest="b" * 64), good,
                    min_accuracy=0.5, min_slice_accuracy=0.0)
    assert broken(result) == {"not worse"}
    assert "worse than the champion by" in result.report.reasons[0] and "McNemar" in result.report.reasons[0]


def test_a_better_model_passes(data_dir: Path, good: Path, tmp_path: Path) -> None:
    old = model(tmp_path / "old", flipped=True, model_digest="a" * 64)
    result = judged(data_dir, good, old)
    assert result.passed and result.report.paired is not None and result.report.paired.gained > 50


def test_the_floors_need_no_champion(data_dir: Path, tmp_path: Path) -> None:
    flipped = judged(data_dir, model(tmp_path / "flipped", flipped=True))
    assert {"accuracy", "worst slice"} <= broken(flipped)
    leaning = judged(data_dir, model(tmp_path / "leaning", biased=1.2), min_accuracy=0.4)
    assert broken(leaning) == {"worst slice"} and "on dog" in leaning.report.reasons[0]


def test_a_floor_that_no_part_of_the_photos_is_large_enough_for_is_said(data_dir: Path, good: Path) -> None:
    result = judged(data_dir, good, min_slice_photos=10_000)
    assert result.passed and "not judged: no part of the test photos has --min-slice-photos 10000" in result.text()


@pytest.mark.parametrize(("option", "name"), [
    ({"max_megabytes": 0.0001}, "size"), ({"max_latency_ms": 0.0001}, "one thread"),
    ({"max_calibration_error": 0.001}, "calibration")])
def test_each_limit_can_be_broken(option: dict[str, float], name: str, data_dir: Path, good: Path) -> None:
    assert broken(judged(data_dir, good, None, **option)) == {name}


def test_a_champion_with_its_classes_in_another_order(data_dir: Path, good: Path, tmp_path: Path) -> None:
    turned = model(tmp_path / "turned", flipped=True, classes=CLASSES[::-1], model_digest="a" * 64)
    paired = judged(data_dir, good, turned).report.paired
    assert paired is not None and paired.lost == paired.gained == 0


def test_a_model_of_another_image_size_is_asked_about_the_originals(
    data_dir: Path, good: Path, tmp_path: Path
) -> None:
    wide = model(tmp_path / "wide", image_size=2 * SIZE, height=2 * SIZE, width=2 * SIZE, model_digest="a" * 64)
    result = judged(data_dir, good, wide)
    assert result.report.champion is not None and result.report.champion.accuracy.value > 0.9


def test_other_classes_cannot_be_compared(
    data_dir: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = model(tmp_path / "other", classes=["cat", "hamster"])
    report = tmp_path / "none.json"
    command = ["gate", "--data-dir", str(data_dir), "--output-json", str(report)]
    assert main([*command, "--challenger", str(good), "--champion", str(other)]) == 1
    assert "The champion knows the classes cat, hamster, the challenger cat, dog" in capsys.readouterr().err
    with pytest.raises(CatsdogsError, match="does not know the class 'dog' of the test photos, only cat, hamster"):
        judged(data_dir, other)


def test_exit_status_and_json(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flipped = model(tmp_path / "flipped", flipped=True)
    report = tmp_path / "gate.json"
    arguments = ["gate", "--challenger", str(flipped), "--data-dir", str(data_dir), "--output-json", str(report)]
    assert main([*arguments, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is False and printed["reasons"] == json.loads(report.read_text())["reasons"]
    assert main(["gate", "--challenger", str(tmp_path / "absent.onnx"), "--data-dir", str(data_dir)]) == 1
    assert "absent.onnx does not exist" in capsys.readouterr().err


def test_nothing_to_judge_on_is_a_failure() -> None:
    nothing = Answered(name="x", version=None, model_digest=None, commit=None, classes=CLASSES, labels=[],
                       confidence=np.zeros(0), latency_ms=1.0, megabytes=None)
    with pytest.raises(CatsdogsError, match="no test photos"):
        judge([], {}, nothing, None, GateLimits())


def test_values_that_hardly_differ_make_no_slices() -> None:
    assert by_thirds({"pixels": np.full(90, 3.0)}) == {}
    thirds = by_thirds({"brightness": np.arange(90.0)})
    assert [int(mask.sum()) for mask in thirds.values()] == [30, 30, 30]
