"""What doctor found, as `report.json` holds it."""

from typing import ClassVar, Literal

from catsdogs.artifacts import Document, ManifestRow


class Photo(Document):
    digest: str
    label: str
    source: str  # path in the raw photos; bytes that are no UTF-8 are shown as \\x..
    split: str | None
    path: str  # below the ingested folder; empty where the file is not kept

    @classmethod
    def of(cls, row: ManifestRow, split: str | None = None, path: str = "") -> "Photo":
        return cls(digest=row.digest, label=row.label, source=printable(row.source), split=split, path=path)


class Copies(Document):
    """Photos that show the same picture."""

    kind: Literal["exact", "near"]
    photos: list[Photo]
    problems: list[str]  # "across splits", "across classes", "refused": ingest left it out; empty: harmless
    fixes: list[str]


class Odd(Document):
    photo: Photo
    kind: str
    value: float
    words: str
    fix: str


class Refused(Document):
    """A file that ingest put aside."""

    photo: Photo
    verdict: str
    reason: str
    fixes: list[str]


class WrongLabel(Document):
    photo: Photo
    suggested: str
    probability: float  # of the suggested class
    own_probability: float  # of the photo's label
    issue: bool  # confident learning counts it as wrong; else it is only ranked high
    fix: str


class LabelCheck(Document):
    photos: int
    folds: int
    epochs: int  # of each training; 0 where a backbone judged
    backbone: str | None = None
    accuracy: float  # of the out-of-fold answers against the labels as they are
    learned: bool  # whether that is well above guessing; else neither figures nor ranking say anything
    issues: int
    seconds: float
    ranked: list[WrongLabel]  # the most suspicious first


class Relabelled(Document):
    digest: str
    before: str
    after: str


class Changes(Document):
    """Against an earlier version of the photos."""

    since: str  # manifest digest of the earlier version
    added: list[str]
    removed: list[str]
    relabelled: list[Relabelled]


class Rule(Document):
    name: str  # the key in params.yaml
    words: str
    value: float
    limit: float
    passed: bool


class Spread(Document):
    """How a figure is spread over the photos."""

    least: float
    low: float  # 5th percentile
    middle: float
    high: float  # 95th percentile
    most: float


class DataReport(Document):
    FILE_NAME: ClassVar[str] = "report.json"

    passed: bool
    manifest_digest: str
    classes: dict[str, int]
    splits: dict[str, dict[str, int]]  # empty where nothing was split yet
    splits_current: bool
    verdicts: dict[str, int]
    formats: dict[str, int]
    spreads: dict[str, Spread]
    rules: list[Rule]
    copies: list[Copies]
    odd: list[Odd]
    refused: list[Refused]
    labels: LabelCheck | None
    changes: Changes | None


def printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
