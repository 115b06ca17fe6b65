"""Names and schemas of every file that passes between stages. Stages meet here, never in each other's code."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from catsdogs.errors import CatsdogsError
from catsdogs.files import write_json
from catsdogs.names import MANIFEST as MANIFEST, PREPROCESSED, SPLITS as SPLITS
from catsdogs.tables import read_table, write_table

SPLIT_NAMES = ("train", "val", "test")
QUARANTINE = "quarantine"

Arithmetic = Literal["float", "int8", "int7"]
"""That a network was made for: 8-bit integers, or such with weights of 7 bits."""


class Verdict(StrEnum):
    """What ingest decided about one source file."""

    KEPT = "kept"
    DUPLICATE = "duplicate"  # the same bytes as an earlier file of the same class
    CONFLICT = "conflict"  # the same bytes under two classes: refused to both
    BRIDGE = "bridge"  # looks like photos of two groups at once: would join them, and move their splits
    QUARANTINED = "quarantined"  # no usable photo; `reason` says why
    SURPLUS = "surplus"  # beyond --max-per-class
    DROPPED = "dropped"  # by a decision in fixes.yaml


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One source file. `group` is the first recorded digest among photos that look the same."""

    digest: str  # sha256 of the bytes, hex
    source: str  # path inside the source folder or zip
    label: str
    format: str
    width: int
    height: int
    phash: str  # 64-bit perceptual hash, hex
    group: str
    verdict: Verdict
    reason: str  # why it was refused; who relabelled a kept photo, and why
    given: str = ""  # the class of its folder, where fixes.yaml says another

    @property
    def path(self) -> str:
        """Where a kept photo lies below the ingested folder."""
        from catsdogs.images import EXTENSIONS

        return f"{self.label}/{self.digest}.{EXTENSIONS[self.format]}"

    @property
    def quarantine_path(self) -> str:
        """Where a refused file lies below the ingested folder, unless it is a duplicate or surplus."""
        name = re.sub(r"[^\w.-]+", "_", self.source.rpartition("/")[2])[-80:]
        return f"{QUARANTINE}/{self.label}/{self.digest[:16]}-{name}"


def read_manifest(folder: Path) -> list[ManifestRow]:
    return read_table(folder / MANIFEST, ManifestRow, "`catsdogs ingest`")


def write_manifest(folder: Path, rows: list[ManifestRow]) -> None:
    write_table(folder / MANIFEST, ManifestRow, rows)


@dataclass(frozen=True, kw_only=True)
class SplitRow:
    """One photo of the training data. Paths are relative to the folder that holds the splits file."""

    digest: str
    split: Literal["train", "val", "test"]
    label: str
    group: str
    path: str  # the resized photo
    original: str  # the ingested photo, untouched


def read_splits(folder: Path) -> list[SplitRow]:
    return read_table(folder / SPLITS, SplitRow, "`catsdogs preprocess`")


def write_splits(folder: Path, rows: list[SplitRow]) -> None:
    write_table(folder / SPLITS, SplitRow, rows)


@dataclass(frozen=True, kw_only=True)
class EvalRow:
    """One labelled photo to send to a service. `path` is relative to the CSV."""

    path: str
    label: str
    digest: str


def read_eval_batch(csv_path: Path) -> list[EvalRow]:
    return read_table(csv_path, EvalRow, "`catsdogs eval-batch`")


def write_eval_batch(csv_path: Path, rows: list[EvalRow]) -> None:
    write_table(csv_path, EvalRow, rows)


class Document(BaseModel):
    """A JSON file with a schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path, repair: str) -> Self:
        """Raises CatsdogsError where the file is absent or damaged; `repair` names the command that writes it."""
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise CatsdogsError(f"{path} is missing: it is written by {repair}.") from None
        return cls.parse(text, path, repair)

    @classmethod
    def parse(cls, text: str | bytes, where: object, repair: str) -> Self:
        """Raises CatsdogsError naming the first field that does not fit."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise CatsdogsError(f"{where} is damaged ({field}: {first['msg']}): write it anew with {repair}.") from None


class Lineage(Document):
    """What a file was made from: enough to make it again."""

    manifest_digest: str  # of the ingested photos: digests, classes, groups
    splits_digest: str
    parameters: dict[str, str | int | float | bool | None]
    commit: str | None  # of the code, with "-dirty" where the tree had changes; None outside git
    versions: dict[str, str]  # of the packages that decide the result


class Preprocessed(Document):
    """What one run of preprocess made."""

    FILE_NAME: ClassVar[str] = PREPROCESSED

    classes: list[str]
    image_size: int
    preparation: str
    seed: int
    train_ratio: float
    val_ratio: float
    manifest_digest: str
    splits_digest: str
    counts: dict[str, dict[str, int]]  # split -> class -> photos


class Golden(Document):
    """A photo whose answer is known: PNG of exactly the prepared pixels, and what torch answered in float32."""

    png_base64: str
    label: str  # what the model answers, right or wrong
    truth: str
    probabilities: list[float]


class Usual(Document):
    """Fields of mahalanobis.Classes."""

    centre: list[float]
    whitening: list[list[float]]
    means: list[list[float]]
    limit: float


class Familiarity(Document):
    """How the model tells a photo that is unlike those of its training: by the larger of two distances."""

    method: str
    fitted_on: int  # photos of the training split
    threshold: float  # a larger distance is unfamiliar
    validation_share: float  # of the validation photos, how many are not
    statistics: Usual  # of the pixels; the other distance is the network's output DISTANCE_NAME


class ModelCard(Document):
    """Everything `model.onnx` carries beside the network, in its metadata under the key CARD_KEY."""

    schema_version: Literal[1] = 1
    variant: str
    classes: list[str]
    image_size: int
    preparation: str
    temperature: float
    model_digest: str  # sha256 of the model.pt that this was exported from
    arithmetic: Arithmetic = "float"
    unsure_below: float = 0.0  # confidence from which on the target error is met
    familiarity: Familiarity | None = None  # None in models of before
    metrics: dict[str, float]
    golden: list[Golden]
    lineage: Lineage

    @property
    def version(self) -> str:
        """Short name of the model: the first 12 digits of its digest."""
        return self.model_digest[:12]


CARD_KEY = "catsdogs"
INPUT_NAME = "pixels"  # uint8 [n, image_size, image_size, 3]
LOGITS_NAME = "logits"  # float32 [n, classes], before the temperature
PROBABILITIES_NAME = "probabilities"  # float32 [n, classes], calibrated
DISTANCE_NAME = "distance"  # float32 [n], of the features from those of the training
EVIDENCE_NAME = "evidence"  # float32 [n, classes, height, width], what each place adds to each logit
