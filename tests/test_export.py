import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs import export as module
from catsdogs.errors import CatsdogsError, ModelRefused
from catsdogs.export import Served, export
from catsdogs.packed import PackedPhotos
from catsdogs.predictor import load_predictor
from catsdogs.weights import load_weights, save_weights
from tests.models import CLASSES


def test_engine_and_torch_agree(model_path: Path, photos: PackedPhotos) -> None:
    network, card = load_weights(model_path)
    pixels = np.array(photos.test.pixels)
    with torch.inference_mode():
        logits, probabilities, _ = Served(network, card.temperature)(torch.from_numpy(pixels))
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


def rewritten(model_path: Path, path: Path, head: float, classes: list[str] = CLASSES) -> Path:
    """model.pt again at `path`: the last layer's weights times `head`, its outputs repeated for `classes`."""
    network, card = load_weights(model_path)
    last = network.head[2]
    assert isinstance(last, torch.nn.Linear) and last.bias is not None
    places = [number % 2 for number in range(len(classes))]
    fade = torch.linspace(1, 0.5, len(classes))[:, None]  # so that no two classes are answered alike
    with torch.no_grad():
        last.weight = torch.nn.Parameter(last.weight[places] * head * fade)
        last.bias = torch.nn.Parameter(last.bias[places])
    save_weights(path, network, card.model_copy(update={"classes": classes}))
    return path


def test_golden_photos_are_not_on_the_fence(model_path: Path, photos: PackedPhotos, tmp_path: Path) -> None:
    """The first cat of the split is made the average of a cat and a dog: no photo to be sure of."""
    path = rewritten(model_path, tmp_path / "model.pt", head=0.3)
    network, card = load_weights(path)
    mixtures = np.stack([photos.val.pixels[0] * (1 - share) + photos.val.pixels[-1] * share
                         for share in np.linspace(0, 1, 101)]).astype(np.uint8)
    with torch.inference_mode():
        leads = np.abs(np.diff(Served(network, card.temperature)(torch.from_numpy(mixtures))[1].numpy())).ravel()
    pixels = photos.val.pixels.copy()
    pixels[0] = mixtures[leads.argmin()]
    assert leads.min() < module.CLEAR
    export(path, replace(photos.val, pixels=pixels))
    golden = load_predictor(path).card.golden
    assert [photo.truth for photo in golden] == ["cat"] * 4 + ["dog"] * 4
    assert all(max(photo.probabilities) - min(photo.probabilities) > module.CLEAR for photo in golden)


def test_a_network_that_is_never_sure_keeps_its_surest_photo(
    model_path: Path, photos: PackedPhotos, tmp_path: Path
) -> None:
    path = rewritten(model_path, tmp_path / "model.pt", head=1e-4)
    export(path, photos.val)
    assert len(load_predictor(path).card.golden) == 1


def test_many_classes_do_not_make_many_golden_photos(model_path: Path, photos: PackedPhotos, tmp_path: Path) -> None:
    classes = [f"class {number:02}" for number in range(30)]
    path = rewritten(model_path, tmp_path / "model.pt", head=1, classes=classes)
    labels = np.arange(len(photos.train.labels)) % len(classes)
    export(path, replace(photos.train, labels=labels))
    assert len(load_predictor(path).card.golden) == module.GOLDEN_IN_ALL


def test_a_network_that_overflows_is_not_exported(model_path: Path, photos: PackedPhotos, tmp_path: Path) -> None:
    path = rewritten(model_path, tmp_path / "model.pt", head=1e38)
    with pytest.raises(CatsdogsError, match="no number: train again with a lower --learning-rate"):
        export(path, photos.val)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_difference_that_is_no_number_counts_as_one(model_path: Path, photos: PackedPhotos) -> None:
    network, card = load_weights(model_path)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    served = Served(network, card.temperature)
    worst = module._difference(served, model_path.with_suffix(".onnx"), iter([photos.val.pixels]))
    assert not worst <= module.TOLERANCE


def test_the_exported_model_tells_how_far_a_photo_is_from_its_training(
    model_path: Path, photos: PackedPhotos
) -> None:
    predictor = load_predictor(model_path)
    familiarity = predictor.card.familiarity
    assert familiarity is not None and familiarity.fitted_on == 80 and familiarity.validation_share > 0.9
    sure = [predictor.answer(photo[None]) for photo in photos.test.pixels]
    strange = [np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8),
               np.tile(np.array([0, 255], np.uint8)[:, None], (16, 8, 3)).reshape(16, 16, 3)]
    assert sum(answer.doubt is None for answer in sure) >= len(sure) * 0.8
    assert all((found := predictor.answer(photo[None]).doubt) is not None and found.kind == "unfamiliar"
               for photo in strange)


def test_without_training_photos_or_with_too_few_a_model_cannot_tell(
    model_path: Path, photos: PackedPhotos, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(model_path.read_bytes())
    few = replace(photos.val, pixels=photos.val.pixels[::6], labels=photos.val.labels[::6])
    for seen in (None, few):
        export(path, photos.val, seen=seen)
        predictor = load_predictor(path)
        assert predictor.card.familiarity is None
        assert predictor.answer(np.zeros((1, 16, 16, 3), np.uint8)).doubt is None


def test_a_card_whose_familiarity_does_not_fit_is_refused(model_path: Path, tmp_path: Path) -> None:
    from tests.test_predictor import change_card

    path = tmp_path / "model.onnx"
    path.write_bytes(model_path.with_suffix(".onnx").read_bytes())
    familiarity = load_predictor(path).card.familiarity
    assert familiarity is not None
    usual = familiarity.statistics.model_copy(update={"centre": [0.0]})
    change_card(path, familiarity=familiarity.model_copy(update={"statistics": usual}))
    with pytest.raises(ModelRefused, match="does not fit its photos"):
        load_predictor(path)
