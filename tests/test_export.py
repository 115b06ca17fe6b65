import base64
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs import export as module
from catsdogs.errors import CatsdogsError
from catsdogs.export import Served, export
from catsdogs.packed import PackedPhotos
from catsdogs.predictor import load_predictor
from catsdogs.weights import load_weights


def test_engine_and_torch_agree(model_path: Path, photos: PackedPhotos) -> None:
    network, card = load_weights(model_path)
    pixels = np.array(photos.test.pixels)
    with torch.inference_mode():
        logits, probabilities = Served(network, card.temperature)(torch.from_numpy(pixels))
    theirs = load_predictor(model_path, exact=True).run(pixels)
    assert np.abs(logits.numpy() - theirs[0]).max() < 1e-3
    assert np.abs(probabilities.numpy() - theirs[1]).max() < 1e-3


def test_the_card_tells_where_the_model_comes_from(model_path: Path) -> None:
    from catsdogs.files import sha256_file

    card = load_predictor(model_path).card
    assert card.model_digest == sha256_file(model_path)
    assert {golden.truth for golden in card.golden} == {"cat", "dog"}
    assert all(base64.b64decode(golden.png_base64).startswith(b"\x89PNG") for golden in card.golden)
    assert card.lineage.splits_digest == "s"


def test_a_disagreement_exports_nothing_and_keeps_the_old_file(
    model_path: Path, photos: PackedPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(model_path.read_bytes())
    old = path.with_suffix(".onnx")
    old.write_bytes(b"the model of yesterday")
    monkeypatch.setattr(module, "TOLERANCE", -1.0)  # nothing can agree better than exactly
    with pytest.raises(CatsdogsError, match="torch and the engine differ"):
        export(path, photos.val)
    assert old.read_bytes() == b"the model of yesterday"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "model.pt"]
