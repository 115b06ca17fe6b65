"""The chain on real photos, as people upload them. CATSDOGS_PHOTOS names a folder that holds the archive."""

import os
from pathlib import Path

import pytest

from catsdogs.artifacts import read_manifest, read_splits
from catsdogs.images import prepare
from catsdogs.ingest.stage import ingest
from catsdogs.packed import open_packed
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings

ARCHIVE = Path(os.environ.get("CATSDOGS_PHOTOS", "missing")) / "cats-dogs-original-sample.zip"


@pytest.mark.skipif(not ARCHIVE.exists(), reason="CATSDOGS_PHOTOS does not name a folder with the real photos")
def test_microsofts_photos_are_ingested_and_prepared(tmp_path: Path) -> None:
    result = ingest(IngestSettings(zip_path=ARCHIVE, output_dir=tmp_path / "ingested"))
    assert result.classes == {"cat": 300, "dog": 300}
    rows = read_manifest(tmp_path / "ingested")
    assert {row.format for row in rows} == {"JPEG"} and max(row.width for row in rows) >= 400
    preprocess(PreprocessSettings(input_dir=tmp_path / "ingested", output_dir=tmp_path / "processed", image_size=64))
    photos = open_packed(tmp_path / "processed")
    assert sum(len(split.rows) for split in (photos.train, photos.val, photos.test)) == 600
    row = read_splits(tmp_path / "processed")[0]
    assert (photos.train.pixels[0] == prepare((tmp_path / "processed" / row.original).read_bytes(), 64)).all()
