import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from catsdogs.images import encode
from catsdogs.predictor import load_predictor
from catsdogs.serve.heat import overlay
from catsdogs.serve.start import start
from catsdogs.settings.serving import ServeSettings
from tests.models import colour_photo
from tests.photos import encoded, picture
from tests.tiny_model import write_tiny_model

CAT = encode(colour_photo(0, 5))


@pytest.fixture(scope="module")
def client(model_path: Path) -> Iterator[TestClient]:
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=model_path))) as client:
        yield client


def test_the_grid_is_the_evidence_of_the_network(client: TestClient, model_path: Path) -> None:
    """That its places sum to the logit is tested where the networks are."""
    predictor = load_predictor(model_path)
    for seed in range(4):
        pixels = colour_photo(0, seed)[None]
        body = client.post("/explain", files={"file": ("p", encode(pixels[0]))}).json()
        assert body["prediction"] == client.post("/predict", files={"file": ("p", encode(pixels[0]))}).json()
        assert len(body["grid"]) == len(body["grid"][0]) == 2  # 16 px, pooled three times
        assert np.abs(body["grid"]).max() == pytest.approx(1, abs=1e-3)
        cat, dog = predictor.outputs(pixels)["evidence"][0]
        expected = cat - dog if body["prediction"]["label"] == "cat" else dog - cat
        assert np.allclose(np.array(body["grid"]) * body["strength"], expected, atol=0.02 * body["strength"])


def test_the_half_of_a_photo_that_shows_the_cat_is_named(client: TestClient) -> None:
    """Cats are reddish and dogs bluish here: of a photo that is half of each, the halves must differ."""
    half = colour_photo(0, 5)
    half[:, 8:] = colour_photo(1, 6)[:, 8:]
    for pixels, cat_left in ((half, True), (half[:, ::-1], False)):
        body = client.post("/explain", files={"file": ("p", encode(np.ascontiguousarray(pixels)))}).json()
        left, right = np.mean(body["grid"], axis=0)
        speaks_for_cat = left > right if body["prediction"]["label"] == "cat" else left < right
        assert speaks_for_cat == cat_left


@pytest.mark.parametrize("by", [{"headers": {"Accept": "image/png"}}, {"params": {"format": "png"}}])
def test_a_picture_is_the_upright_photo_with_the_heat_over_it(
    client: TestClient, by: dict[str, dict[str, str]]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = encoded(picture(3, (900, 600)), exif=exif)
    answer = client.post("/explain", files={"file": ("p", photo)}, **by)  # type: ignore[arg-type]
    assert answer.headers["Content-Type"] == "image/png" and answer.headers["X-Label"] in ("cat", "dog")
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert shown.format == "PNG" and shown.size == (341, 512)


def test_where_nothing_speaks_the_picture_is_the_photo() -> None:
    photo = encode(np.full((64, 64, 3), 200, np.uint8))
    plain, hot = (np.asarray(Image.open(io.BytesIO(overlay(photo, np.array(grid, np.float32)))))
                  for grid in ([[0, 0], [0, 0]], [[1, 0], [0, -1]]))
    assert (plain == 200).all()
    assert hot[0, 0, 0] > hot[0, 0, 2] and hot[-1, -1, 2] > hot[-1, -1, 0]  # orange, blue


def test_bad_photos_and_models_that_cannot_explain(client: TestClient, tmp_path: Path) -> None:
    assert client.post("/explain", files={"file": ("p", b"no photo")}).status_code == 400
    assert client.post("/explain", json={}).status_code == 422
    with TestClient(start(ServeSettings(enable_real_model=True, model_path=write_tiny_model(tmp_path)))) as tiny:
        assert tiny.get("/model").json()["explains"] is False
        answer = tiny.post("/explain", files={"file": ("p", CAT)})
        assert answer.status_code == 404 and "catsdogs package" in answer.json()["detail"]
        assert tiny.post("/predict", files={"file": ("p", CAT)}).status_code == 200
    with TestClient(start(ServeSettings(enable_real_model=False, model_path=tmp_path / "none.pt"))) as stub:
        assert stub.post("/explain", files={"file": ("p", CAT)}).status_code == 404


def test_the_model_card_says_when_it_is_unsure(client: TestClient) -> None:
    card = client.get("/model").json()
    assert card["explains"] is True and card["unsure_below"] == 0.0 and card["refused"] is None
    assert card["familiarity"].keys() == {"method", "fitted_on", "threshold", "validation_share"}
    blank = client.post("/predict", files={"file": ("p", encode(np.zeros((16, 16, 3), np.uint8)))}).json()
    assert blank["unsure"] is True and "unlike those of the training" in blank["reason"]
    counted = client.get("/metrics").text
    assert 'catsdogs_unsure_total{reason="unfamiliar"}' in counted


def test_a_picture_may_have_as_many_pixels_as_a_photo_to_predict(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catsdogs.serve.heat.MAX_PIXELS", 1)  # nothing may go by what is usual
    settings = ServeSettings(enable_real_model=True, model_path=model_path, max_pixels=900 * 600)
    with TestClient(start(settings)) as client:
        for size, status in ((900, 600), 200), ((901, 600), 413):
            photo = {"file": ("p", encoded(picture(3, size)))}
            assert client.post("/predict", files=photo).status_code == status
            assert client.post("/explain?format=png", files=photo).status_code == status


def test_a_long_photo_that_takes_too_much_memory_has_no_picture(model_path: Path) -> None:
    """A picture of 512 px is wanted of it: it is decoded at its full size, beside all of its coefficients."""
    long = {"file": ("p", encoded(picture(3, (8000, 500)), progressive=True, subsampling=0))}
    settings = ServeSettings(enable_real_model=True, model_path=model_path, max_pixels=4_000_000)
    with TestClient(start(settings)) as client:
        assert client.post("/predict", files=long).status_code == client.post("/explain", files=long).status_code == 200
        answer = client.post("/explain?format=png", files=long)
    assert answer.status_code == 413 and "8000 x 500 pixels in this kind of JPEG take 40 MB" in answer.json()["detail"]
