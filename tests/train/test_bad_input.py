"""What people feed a training with.

Elsewhere: classes without photos or with one (tests/ingest/test_sources.py, tests/preprocess/test_splits.py), damaged
arrays (tests/preprocess/test_stage.py), batches larger than the data, checkpoints of another training (test_loop.py),
an absent GPU (test_device.py), MLflow out of reach, folders that cannot be written (test_stage.py).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.errors import CatsdogsError
from catsdogs.export import export
from catsdogs.nets.network import at_once
from catsdogs.nets.registry import build
from catsdogs.packed import Packed, PackedPhotos
from catsdogs.train.checkpoint import Checkpoint
from catsdogs.train.prepare import _fit_to_photos
from catsdogs.train.recipe import recipe_for
from catsdogs.train.report import calibrate, judge
from catsdogs.train.validation import answers
from catsdogs.weights import WeightsCard, save_weights
from tests.models import CLASSES, CPU, LINEAGE, colour_photos, trained


def test_shuffled_labels_end_near_chance() -> None:
    """The same photos that test_loop.py learns to 90 % from."""
    photos = colour_photos(train=40, val=100, test=200)
    random = np.random.default_rng(0)

    def shuffled(split: Packed) -> Packed:
        return replace(split, labels=random.permutation(split.labels))

    train, val, test = (shuffled(split) for split in (photos.train, photos.val, photos.test))
    network = trained(PackedPhotos(photos.about, train, val, test), epochs=4).network
    calibration = calibrate(answers(network, val, CPU), val.labels, 0.02)
    figures = judge(answers(network, test, CPU), test.labels, CLASSES, calibration)
    assert figures.accuracy.low < 0.5 < figures.accuracy.high
    assert figures.accuracy.low <= figures.majority_share, "what makes the report say: beware"
    assert figures.expected_calibration_error < 0.1, "nor does it claim to know"


def test_weights_that_turn_into_no_numbers_leave_the_last_good_state(photos: PackedPhotos, tmp_path: Path) -> None:
    """In the middle of the third epoch: the second one's end stays."""
    live: dict[str, torch.Tensor] = {}

    class Watched(Checkpoint):
        def save(self, state: dict[str, object]) -> None:
            super().save(state)
            live.update(state["network"])  # type: ignore[call-overload]

    def ruin(steps: int, loss: float, images_per_second: float) -> None:
        if steps == 12:
            for tensor in live.values():
                tensor.detach().fill_(float("nan"))

    checkpoint = Watched(tmp_path, "key")
    with pytest.raises(CatsdogsError, match="loss is nan at step 3 of epoch 3: lower --learning-rate"):
        trained(photos, epochs=4, checkpoint=checkpoint, after_step=ruin)
    state = checkpoint.load()
    assert state is not None and state["numbers"]["steps"] == 10
    for part in ("network", "average", "best"):
        assert all(torch.isfinite(tensor).all() for tensor in state[part].values())


@pytest.mark.parametrize("variant", ["baseline", "fast"])
def test_a_learning_rate_of_a_thousand_millions_says_what_to_lower(photos: PackedPhotos, variant: str) -> None:
    with pytest.raises(CatsdogsError, match=r"lower --learning-rate \(now 1e\+09\)"):
        trained(photos, epochs=30, learning_rate=1e9, variant=variant)


def test_photos_of_2048_px_are_answered_one_at_a_time() -> None:
    assert [at_once(side) for side in (8, 224, 448, 2048)] == [32, 32, 8, 1]


def enlarged(photos: PackedPhotos, times: int) -> PackedPhotos:
    def larger(split: Packed) -> Packed:
        return replace(split, pixels=split.pixels.repeat(times, axis=1).repeat(times, axis=2))

    about = photos.about.model_copy(update={"image_size": photos.about.image_size * times})
    return PackedPhotos(about, larger(photos.train), larger(photos.val), larger(photos.test))


def test_photos_of_2048_px_are_trained_one_at_a_time(peak: Callable[[], int]) -> None:
    photos = enlarged(colour_photos(train=1, val=1, test=1), 128)
    training = trained(photos, epochs=1, standardised=False)
    assert training.steps == 1 and peak() == 1
    assert all(torch.isfinite(weight).all() for weight in training.network.parameters())


def test_large_photos_are_looked_at_a_few_at_a_time_before_training(peak: Callable[[], int]) -> None:
    photos = enlarged(colour_photos(train=4, val=1, test=1), 80)  # 8 of 1,280 px
    _fit_to_photos(build("baseline", 2), recipe_for("baseline"), photos, seed=1)
    assert peak() == 4


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The most photos that the first layer of `baseline` has seen at once."""
    seen = [0]
    real = torch.nn.Conv2d.forward

    def forward(layer: torch.nn.Conv2d, values: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_tracing():  # type: ignore[no-untyped-call]
            seen[0] = max(seen[0], len(values))
        return real(layer, values)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    return lambda: seen[0]


def test_large_photos_are_answered_and_exported_a_few_at_a_time(tmp_path: Path, peak: Callable[[], int]) -> None:
    photos = enlarged(colour_photos(train=3, val=3, test=2), 40)  # 640 px: 3 at a time
    network = build("baseline", 2).eval()
    answers(network, photos.val, CPU)
    card = WeightsCard(variant="baseline", classes=CLASSES, image_size=640, temperature=1.0, metrics={},
                       lineage=LINEAGE)
    save_weights(tmp_path / "model.pt", network, card)
    export(tmp_path / "model.pt", photos.val)
    assert 1 <= peak() <= 3
