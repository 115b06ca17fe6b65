"""The specification's networks in integers: their answers stay."""

from pathlib import Path

import numpy as np
import pytest
import torch

from catsdogs.errors import ModelRefused
from catsdogs.nets.network import Network
from catsdogs.nets.plain import Plain
from catsdogs.nets.quantised import learning
from catsdogs.nets.quantised.learning import learn_integers
from catsdogs.nets.quantised.network import STEPS
from catsdogs.nets.quantised.plain import LEVELS
from catsdogs.nets.quantised.rounding import compensated, equalise
from catsdogs.nets.quantised.served import served
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos
from catsdogs.weights import WeightsCard, load_weights, save_weights
from tests.models import CLASSES, LINEAGE, SIZE, trained


def logits(network: torch.nn.Module, photos: PackedPhotos) -> torch.Tensor:
    with torch.inference_mode():
        answered: torch.Tensor = network(torch.from_numpy(np.array(photos.test.pixels)))
    return answered


@pytest.fixture
def plain(photos: PackedPhotos) -> Network:
    return trained(photos, epochs=1, variant="baseline").network.eval()


def test_a_specified_network_keeps_its_answers_in_integers(
    plain: Network, photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or stays in floats. Bringing its channels nearer to each other moves no bit of its answers."""
    before = logits(plain, photos)
    monkeypatch.setattr(learning, "MOST_APART", -1.0)
    learn_integers(plain, photos.train.pixels, photos.val.pixels)
    assert plain.description == {} and served(plain) is plain
    assert "served_in_floats" in capsys.readouterr().err
    assert torch.equal(logits(plain, photos), before)
    monkeypatch.undo()
    learn_integers(plain, photos.train.pixels, photos.val.pixels)
    assert plain.description.keys() == {STEPS, LEVELS}
    floats, integers = (torch.softmax(logits(one, photos), dim=1) for one in (plain, served(plain)))
    assert 0 < (floats - integers).abs().max() <= learning.MOST_APART


def test_channels_of_any_size_are_brought_nearer_to_each_other(plain: Network, photos: PackedPhotos) -> None:
    assert isinstance(plain, Plain)
    first, second, _ = plain.convolutions()
    with torch.no_grad():  # the same network, but one channel of it in other units, and one that is always 0
        first.weight[0] /= 1024
        first.bias[0] /= 1024
        second.weight[:, 0] *= 1024
        first.weight[1], first.bias[1] = 0, -1
    before = logits(plain, photos)
    equalise(plain, photos.train.pixels)
    assert torch.equal(logits(plain, photos), before)
    with torch.inference_mode():
        values = first(plain.scaled(torch.from_numpy(photos.train.pixels))).relu().amax(dim=(0, 2, 3))
    assert 2**-6 < values[0] / values.max() < 2**-4  # half of ten powers of two


def test_values_of_any_size_can_be_learned_from(plain: Network, photos: PackedPhotos) -> None:
    assert isinstance(plain, Plain)
    with torch.no_grad():
        plain.convolutions()[0].weight.mul_(1e20)
        for convolution in plain.convolutions():
            assert convolution.bias is not None
            convolution.bias.mul_(1e20)
        plain.head[0].weight.mul_(1e-20)
    before = torch.softmax(logits(plain, photos), dim=1)
    learn_integers(plain, photos.train.pixels, photos.val.pixels)
    assert plain.description.keys() == {STEPS, LEVELS}
    assert (torch.softmax(logits(served(plain), photos), dim=1) - before).abs().max() <= learning.MOST_APART


@pytest.mark.parametrize("weight", [0.0, 1e30])
def test_networks_without_sense_stay_in_floats_or_as_they_are(
    plain: Network, photos: PackedPhotos, weight: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dead ones are answered as before; of one whose values overflow nothing is changed."""
    assert isinstance(plain, Plain)
    with torch.no_grad():
        for convolution in plain.convolutions():
            convolution.weight.fill_(weight)
    state = {name: values.clone() for name, values in plain.state_dict().items()}
    learn_integers(plain, photos.train.pixels, photos.val.pixels)
    if weight:
        assert plain.description == {} and "no finite numbers" in capsys.readouterr().err
        assert all(torch.equal(state[name], values) for name, values in plain.state_dict().items())
    else:
        assert (logits(served(plain), photos) - logits(plain, photos)).abs().max() < 0.01


def test_a_budget_knows_how_often_photos_are_looked_at(plain: Network, photos: PackedPhotos) -> None:
    """No more often than there are photos; twelve times for a network of the specification, and never for others."""
    count = len(photos.train.pixels)
    large = np.broadcast_to(np.uint8(0), (1000, 224, 224, 3))
    assert learning.looks(plain, photos.train.pixels) == 12 * count and learning.looks(plain, large) == 12 * 83
    assert learning.looks(build("fast", 2), photos.train.pixels) == count
    assert learning.looks(Network(), photos.train.pixels) == 0


def test_one_photo_is_enough(plain: Network, photos: PackedPhotos) -> None:
    learn_integers(plain, photos.train.pixels[:1], photos.val.pixels[:1])
    assert logits(served(plain), photos).isfinite().all()


def test_rounding_one_weight_is_made_up_for_by_those_that_go_with_it() -> None:
    """Of patches whose values go together, as those of photos do, sums stay nearer than with the nearest levels."""
    torch.manual_seed(0)
    weight, scales = torch.randn(8, 4, 3, 3), torch.full((8,), 0.1)
    patches = torch.randn(2000, 6) @ torch.randn(6, 36) + 0.1 * torch.randn(2000, 36)
    levels = compensated(weight, scales, patches.t() @ patches)
    nearest = (weight / 0.1).round()
    assert torch.equal(levels, levels.round()) and levels.shape == weight.shape and levels.abs().max() <= 127
    apart = [(patches @ (0.1 * chosen - weight).flatten(1).t().double().float()).square().mean()
             for chosen in (levels, nearest)]
    assert apart[0] < apart[1] / 4
    free = compensated(weight, scales, torch.eye(36))  # nothing goes together: each is rounded by itself
    assert torch.equal(free, nearest)


@pytest.mark.parametrize("levels", [[], ["AAAA"] * 3, ["not base64!"] * 3, [3, 3, 3], 3])
def test_levels_that_do_not_fit_are_refused(
    plain: Network, photos: PackedPhotos, tmp_path: Path, levels: object
) -> None:
    learn_integers(plain, photos.train.pixels, photos.val.pixels)
    plain.description[LEVELS] = levels
    save_weights(tmp_path / "model.pt", plain, WeightsCard(
        variant="baseline", classes=CLASSES, image_size=SIZE, description=plain.description, temperature=1.0,
        metrics={"test_accuracy": 1.0}, lineage=LINEAGE))
    with pytest.raises(ModelRefused, match="was not written by catsdogs"):
        load_weights(tmp_path / "model.pt")
