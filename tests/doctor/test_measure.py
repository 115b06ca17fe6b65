import random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.doctor.measure import Measure, measure
from catsdogs.doctor.odd import Oddity, oddities
from catsdogs.errors import BadImage
from tests.doctor.faults import JUNK, junk, saved
from tests.photos import picture


def photo(seed: int) -> Image.Image:
    """Rough enough to be taken for a photo: a smooth picture with a camera's noise and texture."""
    noise = np.random.default_rng(seed).normal(0, 12, (150, 180, 3))
    return Image.fromarray((np.asarray(picture(seed, (180, 150))) + noise).clip(0, 255).astype(np.uint8))


def row(digest: str, width: int = 180, height: int = 150) -> ManifestRow:
    return ManifestRow(digest=digest, source=digest, label="cat", format="JPEG", width=width, height=height,
                       phash="0" * 16, group=digest, verdict=Verdict.KEPT, reason="")


def judged(pictures: dict[str, bytes]) -> dict[str, Oddity]:
    found = oddities([row(name) for name in pictures], [measure(name, data) for name, data in pictures.items()])
    return {one.digest: one for one in found}


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    return {f"good{seed}": saved(photo(seed)) for seed in range(60)}


def test_figures_mean_what_they_say() -> None:
    white, black = (measure("x", saved(Image.new("RGB", (90, 90), colour))) for colour in ("white", "black"))
    assert (white.brightness, white.shadow, black.highlight) == (1, 1, 0)
    assert white.contrast == white.entropy == 0 and white.flat == white.ground == 1
    halves = Image.new("L", (128, 128))
    halves.paste(255, (0, 0, 64, 128))
    both = measure("x", saved(halves, 100))
    assert both.brightness == pytest.approx(0.5, abs=0.01) and both.entropy == pytest.approx(1, abs=0.3)
    sharp, soft = photo(1), photo(1).filter(ImageFilter.GaussianBlur(3))
    assert measure("x", saved(soft)).sharpness < 0.5 * measure("x", saved(sharp)).sharpness


def test_size_does_not_change_the_figures_much() -> None:
    small, large = (measure("x", saved(photo(5).resize(size))) for size in ((256, 256), (1024, 1024)))
    assert small.entropy == pytest.approx(large.entropy, abs=0.2)
    assert small.brightness == pytest.approx(large.brightness, abs=0.01)


@pytest.mark.parametrize("kind", [kind for kind in JUNK if kind != "small"])
def test_junk_among_photos_is_odd_and_photos_are_not(kind: str, good: dict[str, bytes]) -> None:
    bad = {f"bad{seed}": junk(kind, photo(seed), seed) for seed in range(8)}
    found = judged(good | bad)
    assert not found.keys() & good.keys()
    assert len(found.keys() & bad.keys()) >= 7


def test_a_set_of_drawings_is_not_odd() -> None:
    drawings = {str(seed): junk("drawing", photo(seed), seed) for seed in range(40)}
    assert len(judged(drawings)) <= 2


def test_tiny_and_very_long_photos_are_odd_by_the_manifest_alone() -> None:
    rows = [row("tiny", 40, 300), row("long", 900, 200), row("fine", 300, 100)]
    assert {one.digest: one.kind for one in oddities(rows, [])} == {"tiny": "small", "long": "shape"}


def test_what_is_no_photo_is_refused() -> None:
    with pytest.raises(BadImage):
        measure("x", b"text")
    assert isinstance(measure("x", saved(photo(random.Random(1).randint(0, 9)))), Measure)
