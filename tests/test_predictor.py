import base64
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from catsdogs import integers
from catsdogs.artifacts import CARD_KEY, Golden, ModelCard
from catsdogs.errors import BadImage, ModelRefused
from catsdogs.images import encode
from catsdogs.packed import PackedPhotos
from catsdogs.predictor import Predictor, load_checked, load_predictor, read_card
from tests.models import CLASSES, colour_photo
from tests.tiny_model import SIZE, TEMPERATURE, WEIGHTS, answers, golden_photo, write_tiny_model
from tests.tiny_model import colour_photo as tiny_photo


@pytest.fixture
def copied(model_path: Path, tmp_path: Path) -> Path:
    for name in ("model.pt", "model.onnx"):
        shutil.copy(model_path.with_name(name), tmp_path / name)
    return tmp_path / "model.pt"


def change_card(path: Path, **changes: object) -> None:
    model = onnx.load(path)
    card = ModelCard.model_validate_json(next(p.value for p in model.metadata_props if p.key == CARD_KEY))
    onnx.helper.set_model_props(model, {CARD_KEY: card.model_copy(update=changes).model_dump_json()})
    onnx.save(model, path)


def test_photos_are_answered_with_calibrated_probabilities(model_path: Path) -> None:
    predictor = load_predictor(model_path)
    for label in (0, 1):
        answer = predictor.predict(encode(colour_photo(label, 99)))
        assert answer.label == CLASSES[label]
        assert answer.confidence == max(answer.probabilities.values())
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_either_name_loads_the_same_model(model_path: Path) -> None:
    assert load_predictor(model_path).card == load_predictor(model_path.with_suffix(".onnx")).card
    assert read_card(model_path).version == load_predictor(model_path).card.version


def test_a_batch_answers_like_its_photos_alone(model_path: Path, photos: PackedPhotos) -> None:
    predictor = load_predictor(model_path)
    together = predictor.logits(np.array(photos.test.pixels))
    alone = np.concatenate([predictor.logits(np.array(photo[None])) for photo in photos.test.pixels])
    assert np.abs(together - alone).max() < 1e-4


def test_threads_get_their_own_answers(model_path: Path) -> None:
    predictor = load_predictor(model_path)
    data = [encode(colour_photo(number % 2, number)) for number in range(40)]
    expected = [predictor.predict(photo) for photo in data]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(predictor.predict, data)) == expected


def test_no_photo_is_refused(model_path: Path) -> None:
    with pytest.raises(BadImage):
        load_predictor(model_path).predict(b"no photo")


def test_golden_photos_catch_another_preparation(copied: Path) -> None:
    load_predictor(copied).check_golden()
    card = read_card(copied)
    swapped = [golden.model_copy(update={"png_base64": other.png_base64})
               for golden, other in zip(card.golden, card.golden[::-1], strict=True)]
    change_card(copied.with_suffix(".onnx"), golden=swapped)
    with pytest.raises(ModelRefused, match="Golden photo 0 is answered.*catsdogs package"):
        load_predictor(copied).check_golden()


def test_where_coarse_arithmetic_answers_a_golden_photo_otherwise_the_model_is_served_in_float32(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mean red is 200.25 and blue 200, which bfloat16 cannot tell; the weights make much of it."""
    pixels = np.full((SIZE, SIZE, 3), 200, np.uint8)
    pixels[::4, :, 0] += 1
    weights = 100 * WEIGHTS
    logits = pixels.reshape(-1, 3).mean(axis=0) @ weights / TEMPERATURE
    powers = np.exp(logits - logits.max())
    golden = Golden(png_base64=base64.b64encode(encode(pixels)).decode(), label="cat", truth="cat",
                    probabilities=[float(share) for share in powers / powers.sum()])
    path = write_tiny_model(tmp_path, weights=weights, golden=[golden])
    coarse = load_predictor(path).predict(encode(pixels)).probabilities["cat"]
    checked = load_checked(path).predict(encode(pixels)).probabilities["cat"]
    assert checked == pytest.approx(golden.probabilities[0], abs=1e-4)
    assert ("served_in_float32" in capsys.readouterr().err) == (abs(coarse - golden.probabilities[0]) > 0.02)


def test_a_model_that_no_arithmetic_answers_rightly_is_refused(tmp_path: Path) -> None:
    wrong = golden_photo(0).model_copy(update={"label": "dog", "probabilities": [0.1, 0.9]})
    with pytest.raises(ModelRefused, match="Golden photo 0 is answered"):
        load_checked(write_tiny_model(tmp_path, golden=[wrong]))


@pytest.mark.parametrize(("usual", "exact", "chosen"), [(3.0, 1.0, True), (1.0, 3.0, False), (1.0, 0.9, False)])
def test_the_arithmetic_that_is_clearly_faster_here_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    usual: float, exact: float, chosen: bool
) -> None:
    path = write_tiny_model(tmp_path, arithmetic="int8")
    monkeypatch.setattr(integers, "are_exact", lambda _: True)
    monkeypatch.setattr(Predictor, "timed", lambda self: exact if self.is_exact else usual)
    predictor = load_checked(path)
    assert predictor.is_exact is chosen
    assert ("a photo takes 1000.00 ms instead of 3000.00" in capsys.readouterr().err) is chosen


def test_the_measured_time_is_of_an_answer(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path)
    assert load_predictor(path).seconds is None
    seconds = load_checked(path).seconds
    assert seconds is not None and 0 < seconds < 1


def test_a_model_that_is_not_made_from_these_weights_is_refused(copied: Path) -> None:
    copied.write_bytes(b"other weights")
    with pytest.raises(ModelRefused, match="was not made from"):
        load_predictor(copied)


def test_what_is_missing_damaged_or_foreign_is_one_sentence(copied: Path) -> None:
    path = copied.with_suffix(".onnx")
    good = path.read_bytes()
    strange = onnx.load(path)
    del strange.metadata_props[:]
    for data, words in ((good[:2000], "no readable ONNX"), (b"", "no readable ONNX"), (b"text", "no readable ONNX"),
                        (strange.SerializeToString(), "no model card")):
        path.write_bytes(data)
        with pytest.raises(ModelRefused, match=words) as caught:
            load_predictor(copied)
        assert "catsdogs package" in str(caught.value) and "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(ModelRefused, match="does not exist"):
        load_predictor(copied)


def test_another_preparation_or_schema_is_refused(copied: Path) -> None:
    path = copied.with_suffix(".onnx")
    change_card(path, preparation="crop-nearest-0")
    with pytest.raises(ModelRefused, match="crop-nearest-0"):
        load_predictor(copied)
    change_card(path, preparation="stretch-bilinear-1", classes=["cat", "dog", "bird"])
    with pytest.raises(ModelRefused, match="3 classes"):
        load_predictor(copied)


def test_a_tiny_model_answers_as_numpy_does(tmp_path: Path) -> None:
    predictor = load_predictor(write_tiny_model(tmp_path).with_suffix(".pt"), exact=True)
    predictor.check_golden()
    pixels = np.stack([tiny_photo(number % 2, number) for number in range(6)])
    expected = [answers(photo) for photo in pixels]
    assert np.abs(predictor.probabilities(pixels) - expected).max() < 1e-5


@pytest.mark.parametrize(("damage", "words"), [
    ({"weights": WEIGHTS * np.nan, "golden": [golden_photo(0)]}, "answered 'cat' nan"),
    ({"golden": [golden_photo(0).model_copy(update={"probabilities": [1.0]})]}, "another number of classes"),
    ({"golden": [golden_photo(0).model_copy(update={"png_base64": "@"})]}, "damaged"),
    ({"image_size": 16}, "takes no photos of 16 x 16"),
    ({"height": "height"}, "takes no photos of 8 x 8"),
    ({"classes": ["cat", "dog", "bird"]}, "3 classes"),
])
def test_what_cannot_answer_its_golden_photos_is_refused(
    tmp_path: Path, damage: dict[str, Any], words: str
) -> None:
    path = write_tiny_model(tmp_path, **damage)
    with pytest.raises(ModelRefused, match=words) as caught:
        load_predictor(path).check_golden()
    assert "catsdogs package" in str(caught.value)


def test_a_path_that_names_no_model_file_is_refused(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path)
    for strange in (Path(""), Path("/"), tmp_path, path.with_suffix(".bin"), tmp_path / ("x" * 300 + ".pt")):
        with pytest.raises(ModelRefused, match="--model-path"):
            load_predictor(strange)
    path.with_suffix(".pt").unlink()
    assert load_predictor(path).card.classes == ["cat", "dog"]
    with pytest.raises(ModelRefused, match="model.pt does not exist"):
        load_predictor(path.with_suffix(".pt"))
