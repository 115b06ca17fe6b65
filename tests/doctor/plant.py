"""Plants known faults among real photos, so that what doctor finds can be counted."""

import io
import random
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from catsdogs.doctor.report import DataReport
from tests.doctor.faults import JUNK, junk, near_copy, saved
from tests.photos import write


@dataclass
class Planted:
    """Names below the raw folder, by fault; for copies the name of what they copy too."""

    exact: dict[str, str] = field(default_factory=dict)
    near: dict[str, str] = field(default_factory=dict)
    mirrored: dict[str, str] = field(default_factory=dict)
    flipped: list[str] = field(default_factory=list)  # labels
    junk: list[str] = field(default_factory=list)


def plant(
    photos: dict[str, list[bytes]], raw: Path, *, exact: int, near: int, flipped: int, junked: int, mirrored: int,
    seed: int = 1,
) -> Planted:
    """Write `photos` (class -> JPEGs) below `raw` with that many faults of each kind, none on top of another."""
    chance = random.Random(seed)
    done = Planted()
    labels = sorted(photos)
    names: dict[str, bytes] = {}
    left: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        for number, data in enumerate(photos[label]):
            names[f"{label}/{number}.jpg"] = data
            left[label].append(f"{label}/{number}.jpg")
        chance.shuffle(left[label])

    def take(number: int) -> tuple[str, str]:
        label = labels[number % len(labels)]
        return label, left[label].pop()

    for number in range(exact):
        label, name = take(number)
        done.exact[f"{label}/exact{number}.jpg"] = name
        write(raw / f"{label}/exact{number}.jpg", names[name])
    for number in range(near):
        label, name = take(number)
        done.near[f"{label}/near{number}.jpg"] = name
        kind = ("recoded", "resized", "cropped")[number // len(labels) % 3]
        write(raw / f"{label}/near{number}.jpg", near_copy(_opened(names[name]), kind, seed * 1000 + number))
    for number in range(mirrored):
        label, name = take(number)
        done.mirrored[f"{label}/mirrored{number}.jpg"] = name
        write(raw / f"{label}/mirrored{number}.jpg", saved(ImageOps.mirror(_opened(names[name]))))
    for number in range(junked):
        label, name = take(number)
        target = f"{label}/junk{number}.jpg"
        done.junk.append(target)
        write(raw / target, junk(JUNK[number // len(labels) % len(JUNK)], _opened(names[name]), seed * 1000 + number))
    for number in range(flipped):
        label, name = take(number)
        other = labels[(labels.index(label) + 1) % len(labels)]
        done.flipped.append(f"{other}/flipped{number}.jpg")
        write(raw / f"{other}/flipped{number}.jpg", names.pop(name))
    for name, data in names.items():
        write(raw / name, data)
    return done


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def real_photos(archive: Path, per_class: int, seed: int) -> dict[str, list[bytes]]:
    """So many cats and dogs, drawn by lot from an archive laid out as Microsoft's."""
    with zipfile.ZipFile(archive) as opened:
        photos = {}
        for folder in ("Cat", "Dog"):
            names = sorted(name for name in opened.namelist() if f"/{folder}/" in name and name.endswith(".jpg"))
            random.Random(seed).shuffle(names)
            photos[folder.lower()] = [opened.read(name) for name in names[:per_class]]
    return photos


def found(planted: Planted, report: DataReport) -> dict[str, float]:
    """Shares of the planted faults that the report names, and how many good photos it accuses."""
    groups = [{photo.source for photo in group.photos} for group in report.copies]
    bridges = {one.photo.source for one in report.refused if one.verdict == "bridge"}

    def share(pairs: dict[str, str]) -> float:
        together = [
            any(one in group and other in group for group in groups) or one in bridges or other in bridges
            for one, other in pairs.items()
        ]
        return sum(together) / max(len(together), 1)

    odd = {one.photo.source for one in report.odd}
    junk_names, copied = set(planted.junk), {*planted.exact, *planted.near}
    accused = sum(not group & (copied | junk_names) for group in groups) + len(odd - junk_names)
    figures = {
        "exact": share(planted.exact), "near": share(planted.near),
        "mirrored called copies": share(planted.mirrored) * len(planted.mirrored),
        "junk": len(odd & junk_names) / max(len(junk_names), 1), "false alarms": float(accused),
    }
    if report.labels:
        first = {one.photo.source for one in report.labels.ranked}
        figures["flipped"] = len(first & set(planted.flipped)) / max(len(planted.flipped), 1)
    return figures
