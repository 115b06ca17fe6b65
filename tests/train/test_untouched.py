"""The test split is read at the end alone: nothing that is chosen before can have been chosen for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.packed import PackedPhotos, open_packed
from catsdogs.train import prepare, stage
from tests.models import train_settings

reads: list[str] = []


class Watched:
    """An array of which nothing can be read unnoticed, some of it or all at once."""

    def __init__(self, pixels: Any) -> None:
        self._pixels, self.shape, self.nbytes = pixels, pixels.shape, pixels.nbytes

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, places: Any) -> Any:
        reads.append("test photos")
        return self._pixels[places]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        reads.append("test photos")
        return np.array(self._pixels, dtype)


def test_no_test_photo_is_read_before_the_model_is_settled(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads.clear()
    calibrate, save = stage.calibrate, stage.save_weights

    def watched(folder: Path) -> PackedPhotos:
        photos = open_packed(folder)
        return replace(photos, test=replace(photos.test, pixels=Watched(photos.test.pixels)))

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
