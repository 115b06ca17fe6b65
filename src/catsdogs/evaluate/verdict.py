"""The evaluation's report: what was answered, what it comes to, and whether it is enough."""

from dataclasses import dataclass
from typing import ClassVar

from catsdogs.artifacts import Document
from catsdogs.reports import ClassReport, Interval
from catsdogs.figures import confusion_matrix, per_class, percentiles, share

WRONG_LISTED = 200


@dataclass(frozen=True)
class Outcome:
    """One photo. `error` is empty where a label was answered."""

    path: str
    label: str
    answer: str
    confidence: float
    seconds: float
    error: str


class Wrong(Document):
    path: str
    label: str
    answer: str
    confidence: float


class Evaluation(Document):
    """`post_deploy_eval.json`."""

    SCHEMA: ClassVar[int] = 1

    base_url: str
    model_version: str | None
    passed: bool
    reasons: list[str]  # why it failed; empty where it passed
    photos: int
    answered: int
    errors: dict[str, int]  # reason -> photos
    accuracy: Interval | None  # of the answered photos
    classes: list[str]
    confusion: list[list[int]]  # row: what the photo is, column: what was answered
    per_class: dict[str, ClassReport]
    latency_ms: dict[str, float]  # p50, p95, p99 at this concurrency
    requests_per_second: float
    concurrency: int
    min_accuracy: float | None
    max_p99_ms: float | None
    wrong: list[Wrong]  # the most confident first, 200 at most


def evaluate(
    outcomes: list[Outcome], *, base_url: str, model_version: str | None, wall_seconds: float, concurrency: int,
    min_accuracy: float | None, max_p99_ms: float | None, problems: list[str],
) -> Evaluation:
    """Judge the outcomes. `problems` are reasons to fail that were met on the way."""
    answered = [outcome for outcome in outcomes if not outcome.error]
    errors: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.error:
            errors[outcome.error] = errors.get(outcome.error, 0) + 1
    classes = sorted({outcome.label for outcome in answered} | {outcome.answer for outcome in answered})
    index = {name: number for number, name in enumerate(classes)}
    confusion = confusion_matrix([index[o.label] for o in answered], [index[o.answer] for o in answered], len(classes))
    right = sum(outcome.label == outcome.answer for outcome in answered)
    accuracy = share(right, len(answered)) if answered else None
    latency = {name: 1000 * value for name, value in percentiles([o.seconds for o in answered]).items()} \
        if answered else {}
    reasons = [*problems, *_shortcomings(errors, accuracy, latency, min_accuracy, max_p99_ms)]
    wrong = sorted((o for o in answered if o.label != o.answer), key=lambda o: -o.confidence)
    return Evaluation(
        base_url=base_url, model_version=model_version, passed=not reasons, reasons=reasons, photos=len(outcomes),
        answered=len(answered), errors=errors, accuracy=accuracy, classes=classes, confusion=confusion.tolist(),
        per_class=per_class(classes, confusion), latency_ms=latency,
        requests_per_second=len(answered) / wall_seconds if wall_seconds else 0.0, concurrency=concurrency,
        min_accuracy=min_accuracy, max_p99_ms=max_p99_ms,
        wrong=[Wrong(path=o.path, label=o.label, answer=o.answer, confidence=o.confidence)
               for o in wrong[:WRONG_LISTED]],
    )


def _shortcomings(
    errors: dict[str, int], accuracy: Interval | None, latency: dict[str, float], min_accuracy: float | None,
    max_p99_ms: float | None,
) -> list[str]:
    reasons = [f"{count} photos were not answered: {reason}" for reason, count in errors.items()]
    if accuracy is None:
        return reasons or ["no photo was answered"]
    if min_accuracy is not None and accuracy.value < min_accuracy:
        reasons.append(
            f"accuracy {accuracy.value:.1%} (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}) is below "
            f"--min-accuracy {min_accuracy:.1%}"
        )
    if max_p99_ms is not None and latency["p99"] > max_p99_ms:
        reasons.append(f"p99 of {latency['p99']:.0f} ms is above --max-p99-ms {max_p99_ms:.0f}")
    return reasons
