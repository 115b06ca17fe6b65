"""Answers of two models to the same photos -> the rules they meet and break. Knows no files and no network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catsdogs.errors import CatsdogsError
from catsdogs.figures import calibration_error, share
from catsdogs.gate.paired import compare
from catsdogs.gate.report import Check, GateReport, Paired, Slice, Subject
from catsdogs.slices import Mask
from catsdogs.settings.gate import GateLimits

SLACK_MS = 0.1
"""More than chance: medians of one model, measured in turns, differed by at most 0.005 ms on a busy machine (450 pairs
of 0.04 ms a photo). Less than matters: at the ratio of 1.5 it is for models below 0.2 ms, and decoding a photo of 500 x
375 takes 0.5 ms."""

MOST_UNANSWERED = 0.02
"""Share of the photos that the champion may leave out. They are not drawn by chance (large ones time out first), so
that they may hide a loss of as much as their share: at most the gate's margin, and less than half of a release's."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What one model made of the photos, in their order."""

    name: str
    version: str | None
    model_digest: str | None
    commit: str | None
    classes: list[str]
    labels: list[str]  # [n], what it answered; empty where it did not
    confidence: npt.NDArray[np.float64]  # [n], 0 to 1
    latency_ms: float
    megabytes: float | None


def judge(
    truth: Sequence[str], slices: dict[str, Mask], challenger: Answered, champion: Answered | None,
    limits: GateLimits, *, splits_digest: str | None = None, further: Sequence[Check] = (), unfair: str = "",
    slack_ms: float = SLACK_MS,
) -> GateReport:
    """The report. `further` are rules that the caller has judged, `unfair` says what helps the champion,
    and by `slack_ms` a challenger may always be slower.

    Raises CatsdogsError where nothing can be compared.
    """
    if not truth:
        raise CatsdogsError("There are no test photos to judge the challenger on: preprocess more photos.")
    check_classes(truth, challenger.classes, champion.classes if champion else None)
    enough = {name: mask for name, mask in slices.items() if mask.sum() >= limits.min_slice_photos}
    right = _right(truth, challenger)
    mine = _subject(challenger, right, enough)
    theirs = paired = None
    checks = [_accuracy(mine, limits), *_worst(mine, limits), _calibration(mine, limits)]
    if champion is not None:
        theirs = _subject(champion, rights := _right(truth, champion), enough)
        there = np.array([label != "" for label in champion.labels])
        if (~there).sum() > MOST_UNANSWERED * len(truth):
            checks.append(_unanswered(there))  # nor do the times of such a service tell anything
        else:
            paired = compare(right[there], rights[there], limits.margin, limits.level)
            same = challenger.model_digest is not None and challenger.model_digest == champion.model_digest
            checks += [_not_worse(paired, same, [_left_out(there), unfair]), _latency(mine, theirs, limits, slack_ms)]
    checks += further
    return GateReport(
        passed=all(check.passed for check in checks),
        reasons=[check.text for check in checks if not check.passed],
        photos=len(truth), splits_digest=splits_digest, challenger=mine, champion=theirs, paired=paired, checks=checks,
    )


def check_classes(truth: Sequence[str], challenger: list[str], champion: list[str] | None = None) -> None:
    """Classes are compared by name, in any order. Raises CatsdogsError where they are others."""
    if strange := sorted(set(truth) - set(challenger)):
        raise CatsdogsError(f"The challenger does not know the class {strange[0]!r} of the test photos, only "
                            f"{', '.join(sorted(challenger))}: train it on these photos.")
    if champion is not None and set(champion) != set(challenger):
        raise CatsdogsError(
            f"The champion knows the classes {', '.join(sorted(champion))}, the challenger "
            f"{', '.join(sorted(challenger))}: they cannot be compared; gate without a champion, and promote by hand."
        )


def _right(truth: Sequence[str], answered: Answered) -> Mask:
    return np.array([label == answer for label, answer in zip(truth, answered.labels, strict=True)])


def _subject(answered: Answered, right: Mask, slices: dict[str, Mask]) -> Subject:
    return Subject(
        name=answered.name, version=answered.version, model_digest=answered.model_digest, commit=answered.commit,
        accuracy=share(int(right.sum()), len(right)), latency_ms=answered.latency_ms, megabytes=answered.megabytes,
        calibration_error=calibration_error(answered.confidence, right),
        slices=[Slice(name=name, accuracy=share(int(right[mask].sum()), int(mask.sum())))
                for name, mask in slices.items()],
    )


def _accuracy(mine: Subject, limits: GateLimits) -> Check:
    passed = mine.accuracy.value >= limits.min_accuracy
    return Check(name="accuracy", passed=passed, text=f"accuracy {mine.accuracy.value:.1%} of {mine.accuracy.count:,} "
                 f"photos is {'at least' if passed else 'below'} --min-accuracy {limits.min_accuracy:.1%}")


def _worst(mine: Subject, limits: GateLimits) -> list[Check]:
    if not mine.slices:
        return [Check(name="worst slice", passed=True, text=f"not judged: no part of the test photos has "
                      f"--min-slice-photos {limits.min_slice_photos}")]
    worst = min(mine.slices, key=lambda part: part.accuracy.value)
    passed = worst.accuracy.value >= limits.min_slice_accuracy
    return [Check(name="worst slice", passed=passed, text=f"accuracy {worst.accuracy.value:.1%} on {worst.name} "
                  f"({worst.accuracy.count:,} photos) is {'at least' if passed else 'below'} --min-slice-accuracy "
                  f"{limits.min_slice_accuracy:.1%}")]


def _calibration(mine: Subject, limits: GateLimits) -> Check:
    passed = mine.calibration_error <= limits.max_calibration_error
    return Check(name="calibration", passed=passed, text=f"confidence is off by {mine.calibration_error:.1%}, "
                 f"{'within' if passed else 'above'} --max-calibration-error {limits.max_calibration_error:.1%}")


def _unanswered(there: Mask) -> Check:
    return Check(name="not worse", passed=False, text=f"the champion answered only {there.sum():,} of {len(there):,} "
                 f"photos, and with more than {MOST_UNANSWERED:.0%} missing nothing is compared: release again once "
                 "it answers, or with --no-gate where it is what must go")


def _left_out(there: Mask) -> str:
    """What kept the champion from answering says nothing of either model."""
    return "" if there.all() else f"{(~there).sum():,} photos that the champion did not answer are not compared"


def _not_worse(paired: Paired, same: bool, notes: Sequence[str]) -> Check:
    counts = f"{paired.lost} photos lost and {paired.gained} gained of {paired.photos:,}"
    passed = paired.passed
    if same and not paired.lost:  # the digest is of model.pt: an export of it may be broken all the same
        passed, text = True, "the challenger is the champion: the same model.pt, and no photo is lost"
    elif paired.passed:
        text = f"{counts}: a loss of more than {paired.loss_at_most:.1%} is ruled out (--margin {paired.margin:.1%}, " \
               f"p {paired.p_value:.2g})"
    elif paired.photos_needed is None or paired.p_worse <= paired.level:
        text = f"worse than the champion by {-paired.difference:.1%}: {counts} (McNemar p {paired.p_worse:.2g})"
    else:
        text = f"{counts}: a loss of {paired.loss_at_most:.1%} cannot be ruled out, which is more than --margin " \
               f"{paired.margin:.1%}; about {paired.photos_needed:,} test photos could"
    return Check(name="not worse", passed=passed, text="; ".join([text, *filter(None, notes)]))


def _latency(mine: Subject, theirs: Subject, limits: GateLimits, slack_ms: float) -> Check:
    by_ratio, by_slack = theirs.latency_ms * limits.max_latency_ratio, theirs.latency_ms + slack_ms
    allowed = max(by_ratio, by_slack)
    passed = mine.latency_ms <= allowed
    why = f"--max-latency-ratio {limits.max_latency_ratio:g}" if by_ratio >= by_slack else \
        f"the champion's and {slack_ms:g} ms"
    return Check(name="latency", passed=passed, text=f"{mine.latency_ms:.2f} ms a photo against the champion's "
                 f"{theirs.latency_ms:.2f} ms, {'within' if passed else 'above'} {allowed:.2f} ms ({why})")
