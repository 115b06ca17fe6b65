"""The rules on answers that are made up: which are comparable, and what each limit allows."""

import numpy as np
import pytest

from catsdogs.gate.judge import Answered, judge
from catsdogs.gate.report import Check, GateReport
from catsdogs.settings.gate import GateLimits
from tests.tiny_model import CLASSES

PHOTOS = 400
TRUTH = [CLASSES[number % 2] for number in range(PHOTOS)]
LIMITS = GateLimits(max_calibration_error=1.0)


def answered(*, wrong: int = 0, missing: int = 0, digest: str = "a", latency_ms: float = 1.0) -> Answered:
    """Right but for the last `wrong` photos; the first `missing` ones are not answered."""
    labels = [label if number < PHOTOS - wrong else "neither" for number, label in enumerate(TRUTH)]
    labels[:missing] = [""] * missing
    return Answered(name="x", version=None, model_digest=digest, commit=None, classes=CLASSES, labels=labels,
                    confidence=np.full(PHOTOS, 0.9), latency_ms=latency_ms, megabytes=None)


def verdict(name: str, challenger: Answered, champion: Answered, **options: str) -> tuple[GateReport, Check]:
    report = judge(TRUTH, {}, challenger, champion, LIMITS, **options)  # type: ignore[arg-type]
    (check,) = [check for check in report.checks if check.name == name]
    return report, check


def test_one_model_pt_in_two_files_is_no_excuse_for_lost_photos() -> None:
    """The digest is of model.pt, and what is judged was exported from it, perhaps by a broken exporter."""
    report, check = verdict("not worse", answered(wrong=40), answered())
    assert not report.passed and "worse than the champion by 10.0%" in check.text
    _, check = verdict("not worse", answered(), answered(wrong=40))
    assert check.passed and "the challenger is the champion" in check.text


@pytest.mark.parametrize(("champion", "challenger", "limit", "passes"), [
    (0.4, 0.7, "above 0.60 ms (--max-latency-ratio 1.5)", False),
    (0.4, 0.55, "within 0.60 ms (--max-latency-ratio 1.5)", True),
    (10.0, 15.1, "above 15.00 ms (--max-latency-ratio 1.5)", False),
    (0.04, 0.13, "within 0.14 ms (the champion's and 0.1 ms)", True),
    (0.04, 0.15, "above 0.14 ms (the champion's and 0.1 ms)", False)])
def test_a_slower_model_is_refused_and_the_limit_that_applied_is_named(
    champion: float, challenger: float, limit: str, passes: bool
) -> None:
    report, check = verdict("latency", answered(latency_ms=challenger), answered(latency_ms=champion))
    assert check.passed == passes == report.passed and check.text.endswith(limit)


def test_photos_that_the_champion_did_not_answer_are_not_compared() -> None:
    """Three timed out; the other 397 decide."""
    report, check = verdict("not worse", answered(wrong=1), answered(missing=3))
    assert report.passed and report.paired is not None
    assert (report.paired.photos, report.paired.lost, report.paired.gained) == (PHOTOS - 3, 1, 0)
    assert check.text.endswith("; 3 photos that the champion did not answer are not compared")


def test_a_champion_that_leaves_many_photos_out_cannot_be_compared_with() -> None:
    """With 30 % of its answers missing and counted as wrong, a challenger that is 20 points worse was 'not worse'."""
    report, check = verdict("not worse", answered(wrong=80, digest="b"), answered(missing=120))
    assert not report.passed and report.paired is None and report.reasons == [check.text]
    assert check.text.startswith("the champion answered only 280 of 400 photos") and "--no-gate" in check.text


def test_photos_that_the_challenger_did_not_answer_are_lost() -> None:
    report, _ = verdict("not worse", answered(missing=40, digest="b"), answered())
    assert report.paired is not None and report.paired.lost == 40 and not report.paired.passed
    assert report.challenger.accuracy.value == 0.9


def test_what_makes_a_comparison_unfair_is_said_with_it() -> None:
    _, check = verdict("not worse", answered(), answered(digest="b"), unfair="it knew the photos")
    assert check.text.endswith("; it knew the photos")
