"""No GPU is at hand: the processor stands in for one, by saying that it has free memory. The code is the same."""

import numpy as np
import pytest
import torch

from catsdogs.packed import PackedPhotos
from catsdogs.train import resident
from catsdogs.train.resident import Pixels
from tests.models import CPU, trained


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "free_bytes", lambda device: 1 << 30)


@pytest.mark.usefixtures("roomy")
def test_photos_on_the_device_are_those_of_the_map(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resident, "AT_ONCE", 7)  # an odd end
    pixels = Pixels(photos.train, CPU.device)
    assert "photos_on_device" in capsys.readouterr().err
    places = np.array([5, 3, 79])
    for part in (places, slice(76, 90)):
        assert torch.equal(pixels.take(part), torch.from_numpy(photos.train.pixels[part]))
    pixels.take(slice(0, 4)).zero_()
    pixels.take(places).zero_()
    assert torch.equal(pixels.take(slice(None)), torch.from_numpy(photos.train.pixels)), "what is taken is a copy"


@pytest.mark.parametrize("variant", ["baseline", "fast"])
def test_training_from_the_device_ends_with_the_same_weights(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variant: str
) -> None:
    mapped = trained(photos, epochs=2, variant=variant)
    assert "photos_on_device" not in capsys.readouterr().err
    monkeypatch.setattr(resident, "free_bytes", lambda device: 1 << 30)
    on_device = trained(photos, epochs=2, variant=variant)
    assert capsys.readouterr().err.count("photos_on_device") == 2, "the training and the validation photos, once each"
    assert all(torch.equal(one, other) for one, other in zip(
        mapped.network.state_dict().values(), on_device.network.state_dict().values(), strict=True))


def test_a_split_that_would_crowd_out_the_network_stays_in_the_map(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resident, "free_bytes", lambda device: int(1.9 * photos.train.pixels.nbytes))
    pixels = Pixels(photos.train, CPU.device)
    assert "photos_on_device" not in capsys.readouterr().err
    assert torch.equal(pixels.take(slice(0, 3)), torch.from_numpy(photos.train.pixels[:3]))
