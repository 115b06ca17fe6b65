"""`gate.json`: what both models reached, which rule each figure met or broke, and the verdict."""

from catsdogs.artifacts import Document
from catsdogs.reports import Interval


class Slice(Document):
    """The photos of one class, or of one kind."""

    name: str
    accuracy: Interval


class Paired(Document):
    """The paired test; `gate/paired.py` states the hypothesis."""

    photos: int  # that the champion answered
    lost: int  # right by the champion, wrong by the challenger
    gained: int  # the other way round
    difference: float  # of the accuracies, challenger less champion
    margin: float
    level: float
    loss_at_most: float  # upper end of the one-sided interval of the loss, at 1 - level
    p_value: float  # of a loss of the margin or more
    p_worse: float  # exact McNemar test: of so many lost photos from equally good models
    passed: bool
    photos_needed: int | None  # to pass at these rates; None where more photos would not help


class Subject(Document):
    """One of the two models."""

    name: str  # of its file or address
    version: str | None
    model_digest: str | None
    commit: str | None
    accuracy: Interval
    calibration_error: float
    latency_ms: float  # median
    megabytes: float | None  # None over HTTP
    slices: list[Slice]


class Check(Document):
    """One rule."""

    name: str
    passed: bool
    text: str


class GateReport(Document):
    passed: bool
    reasons: list[str]  # the broken rules; empty where it passed
    photos: int
    splits_digest: str | None  # of the test photos; None over HTTP
    challenger: Subject
    champion: Subject | None
    paired: Paired | None  # None without a champion, or where it left too many photos unanswered
    checks: list[Check]

    def table(self) -> str:
        """Both models side by side, then a line a rule."""
        both = [self.challenger] + ([self.champion] if self.champion else [])
        rows = [("", *(name for name, _ in zip(("challenger", "champion"), both, strict=False)))]
        rows.append(("model", *(subject.version or "?" for subject in both)))
        rows.append(("accuracy", *(_interval(subject.accuracy) for subject in both)))
        for number, part in enumerate(self.challenger.slices):
            rows.append((f"  {part.name}", *(_interval(subject.slices[number].accuracy) for subject in both)))
        rows.append(("calibration", *(f"off by {subject.calibration_error:.1%}" for subject in both)))
        rows.append(("latency", *(f"{subject.latency_ms:.2f} ms" for subject in both)))
        if self.challenger.megabytes is not None:
            rows.append(("size", *(f"{subject.megabytes or 0:.2f} MB" for subject in both)))
        width = max(len(row[0]) for row in rows)
        lines = [f"{row[0]:<{width}}  " + "  ".join(f"{cell:<30}" for cell in row[1:]) for row in rows]
        lines += [f"{'ok' if check.passed else 'FAIL':<6}{check.name:<14}{check.text}" for check in self.checks]
        return "\n".join(line.rstrip() for line in lines)


def _interval(of: Interval) -> str:
    return f"{of.value:.1%} ({of.low:.1%} to {of.high:.1%})"
