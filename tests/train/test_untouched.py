"""The test split is read once, at the end: nothing that is chosen before can have been chosen for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.train import prepare, stage
from tests.models import train_settings

reads: list[str] = []


class Watched(np.ndarray):  # type: ignore[type-arg]
    def __getitem__(self, places: Any) -> Any:
        reads.append("test photos")
        return np.asarray(self)[places]


def test_no_test_photo_is_read_before_the_model_is_settled(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads.clear()
    calibrate, save = stage.calibrate, stage.save_weights

    def watched(folder: Path) -> PackedPhotos:
        photos = open_packed(folder)
        return replace(photos, test=replace(photos.test, pixels=photos.test.pixels.view(Watched)))

    def calibrated(*arguments: Any) -> Any:
        result = calibrate(*arguments)
        reads.append("calibrated")
        return result

    def saved(*arguments: Any) -> None:
        reads.append("saved")
        save(*arguments)

    monkeypatch.setattr(prepare, "open_packed", watched)
    monkeypatch.setattr(stage, "calibrate", calibrated)
    monkeypatch.setattr(stage, "save_weights", saved)
    stage.train(train_settings(data_dir, tmp_path, epochs=1))
    assert reads[0] == "calibrated" and reads[-1] == "saved", reads
    assert "test photos" in reads
