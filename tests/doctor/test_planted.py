"""Faults planted among real photos: a fifth of what `benchmarks/doctor.py` plants. CATSDOGS_PHOTOS names a folder."""

import os
from pathlib import Path

import pytest

from catsdogs.doctor.stage import doctor
from catsdogs.ingest.stage import ingest
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from catsdogs.settings.doctor import DoctorSettings
from tests.doctor.plant import found, plant, real_photos

ARCHIVE = Path(os.environ.get("CATSDOGS_PHOTOS", "missing")) / "cats-dogs-180px.zip"


@pytest.mark.skipif(not ARCHIVE.exists(), reason="CATSDOGS_PHOTOS does not name a folder with the real photos")
def test_planted_faults_are_found_and_good_photos_left_alone(tmp_path: Path) -> None:
    photos = real_photos(ARCHIVE, 400, seed=3)
    planted = plant(photos, tmp_path / "raw", exact=40, near=42, flipped=40, junked=20, mirrored=20, seed=5)
    ingest(IngestSettings(source_dir=tmp_path / "raw", output_dir=tmp_path / "ingested"))
    preprocess(PreprocessSettings(input_dir=tmp_path / "ingested", output_dir=tmp_path / "processed", image_size=128))
    report = doctor(DoctorSettings(data_dir=tmp_path / "ingested", processed_dir=tmp_path / "processed",
                                   output_dir=tmp_path / "report", labels=True)).report
    figures = found(planted, report)
    assert figures["exact"] == 1
    assert figures["near"] >= 0.95
    assert figures["junk"] >= 0.8
    assert figures["mirrored called copies"] == 0
    assert figures["false alarms"] < 0.01 * 800
    assert report.labels is not None
    first = {one.photo.source for one in report.labels.ranked[:60]}  # as 300 are to 200
    assert len(first & set(planted.flipped)) >= 0.8 * len(planted.flipped)
