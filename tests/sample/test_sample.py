import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from catsdogs.artifacts import read_manifest
from catsdogs.errors import BadImage
from catsdogs.images import prepare
from catsdogs.ingest.stage import ingest
from catsdogs.sample.stage import sample
from catsdogs.settings.data import IngestSettings, SampleSettings


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("sample") / "raw"
    sample(SampleSettings(output_dir=output, per_class=24))
    return output


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kinds(folder: Path) -> dict[str, str]:
    with (folder / "planted.csv").open(newline="") as file:
        return {row["path"]: row["kind"] for row in csv.DictReader(file)}


def test_the_same_seed_draws_the_same_bytes_in_one_go_or_in_several(drawn: Path, tmp_path: Path) -> None:
    again = tmp_path / "raw"
    sample(SampleSettings(output_dir=again, per_class=24))
    assert content(again) == content(drawn)
    for path in sorted(again.rglob("*.jpg"))[::3]:
        path.unlink()
    sample(SampleSettings(output_dir=again, per_class=24))
    assert content(again) == content(drawn)


def test_a_larger_sample_begins_with_the_smaller_one(drawn: Path, tmp_path: Path) -> None:
    sample(SampleSettings(output_dir=tmp_path / "raw", per_class=4))
    small = content(tmp_path / "raw")
    large = content(drawn)
    pictures = [name for name in small if name.removesuffix(".jpg")[4:].isdigit()]
    assert len(pictures) == 8 and all(small[name] == large[name] for name in pictures)


def test_pictures_differ_and_seeds_differ(drawn: Path, tmp_path: Path) -> None:
    pictures = [(drawn / label / f"{n:04}.jpg").read_bytes() for label in ("Cat", "Dog") for n in range(1, 25)]
    assert len(set(pictures)) == 48
    sample(SampleSettings(output_dir=tmp_path / "raw", per_class=1, seed=8))
    assert (tmp_path / "raw" / "Cat" / "0001.jpg").read_bytes() not in pictures


def test_every_planted_fault_is_found_and_every_good_photo_kept(drawn: Path, tmp_path: Path) -> None:
    ingest(IngestSettings(source_dir=drawn, output_dir=tmp_path / "ingested", workers=1))
    rows = {row.source: row for row in read_manifest(tmp_path / "ingested")}
    groups = Counter(row.group for row in rows.values() if row.group)
    expected = {"system-file": "quarantined", "truncated": "quarantined", "text": "quarantined",
                "empty": "quarantined", "odd-format": "kept", "mislabelled": "kept", "near-duplicate": "kept"}
    planted = kinds(drawn)
    assert planted.keys() <= rows.keys() and set(planted.values()) >= expected.keys() - {"text", "empty"}
    for path, kind in planted.items():
        if kind == "exact-duplicate":
            twins = [row.verdict.value for row in rows.values() if row.digest == rows[path].digest]
            assert sorted(twins) == ["duplicate", "kept"], path
        else:
            assert rows[path].verdict == expected[kind], path
        if kind == "near-duplicate":
            assert groups[rows[path].group] >= 2, path
    for number in range(1, 25):
        assert rows[f"Dog/{number:04}.jpg"].verdict in ("kept", "duplicate")


def test_few_enough_are_broken_for_the_default_limit(tmp_path: Path) -> None:
    for per_class in (1, 20, 33):
        output = tmp_path / str(per_class)
        sample(SampleSettings(output_dir=output, per_class=per_class))
        photos = [path for path in output.rglob("*.*") if path.parent != output and path.suffix in (".jpg", ".png")]
        broken = 0
        for path in photos:
            try:
                prepare(path.read_bytes(), 16)
            except BadImage:
                broken += 1
        assert broken / len(photos) <= 0.04
        shutil.rmtree(output)


def test_neither_colour_nor_brightness_gives_the_class_away(drawn: Path) -> None:
    means = {
        label: np.array([prepare(path.read_bytes(), 16).mean(axis=(0, 1)) for path in
                         sorted((drawn / label).glob("00??.jpg"))])
        for label in ("Cat", "Dog")
    }
    spread = np.concatenate(list(means.values())).std(axis=0)
    assert (abs(means["Cat"].mean(axis=0) - means["Dog"].mean(axis=0)) < 0.9 * spread).all()
