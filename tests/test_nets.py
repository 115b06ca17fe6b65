import numpy as np
import pytest
import torch

from catsdogs.errors import UsageError
from catsdogs.nets.fast import Fast
from catsdogs.nets.plain import Plain
from catsdogs.nets.registry import build, smallest_side, variant_name
from catsdogs.train.initial import standardise, whiten
from tests.models import colour_photo


@pytest.mark.parametrize(("variant", "convolutions", "widths"), [
    ("baseline", 3, [32, 64, 128]), ("wider", 4, [64, 128, 256, 512]),
])
def test_variants_are_what_the_specification_says(variant: str, convolutions: int, widths: list[int]) -> None:
    layers = [layer for layer in build(variant, 2).features if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == widths and len(layers) == convolutions
    assert all(layer.kernel_size == (3, 3) for layer in layers)


def test_the_alias_and_the_unknown() -> None:
    assert variant_name("wide") == "wider"
    with pytest.raises(UsageError, match="no model variant 'huge'.*baseline, wider"):
        variant_name("huge")


@pytest.mark.parametrize("classes", [2, 5])
def test_any_number_of_classes_and_any_size(classes: int) -> None:
    network = build("baseline", classes).eval()
    for size in (smallest_side("baseline"), 33):
        assert network(torch.zeros(3, size, size, 3, dtype=torch.uint8)).shape == (3, classes)


def test_pooling_before_relu_changes_nothing() -> None:
    torch.manual_seed(0)
    network = build("baseline", 2).eval()
    pixels = torch.randint(0, 256, (4, 24, 24, 3), dtype=torch.uint8)
    values = network.scaled(pixels)
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            values = torch.nn.functional.max_pool2d(torch.relu(layer(values)), 2)
    expected = network.head(values.mean(dim=(2, 3)))
    assert torch.allclose(network(pixels), expected, atol=1e-6)


def test_the_same_seed_gives_the_same_weights() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build("wider", 2).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_initial_weights_make_every_layer_speak_with_one_voice() -> None:
    pixels = torch.from_numpy(np.stack([colour_photo(number % 2, number) for number in range(64)]))
    network = build("baseline", 2)
    standardise(network, pixels)
    values = network.scaled(pixels)
    for layer in network.features:
        values = layer(values)
        if isinstance(layer, torch.nn.Conv2d):
            assert torch.allclose(values.mean(dim=(0, 2, 3)), torch.zeros(1), atol=1e-3)
            assert torch.allclose(values.std(dim=(0, 2, 3)), torch.ones(1), atol=1e-2)


def test_whitened_weights_see_the_main_directions_of_patches_with_both_signs() -> None:
    pixels = torch.from_numpy(np.stack([colour_photo(number % 2, number) for number in range(64)]))
    network = build("fast", 2)
    assert isinstance(network, Fast)
    whiten(network, pixels)
    half = len(network.stem.weight) // 2
    with torch.no_grad():
        values = torch.nn.functional.conv2d(network.scaled(pixels), network.stem.weight, stride=5)
    assert torch.allclose(values[:, :half], -values[:, half:], atol=1e-4)
    spread = torch.cov(values[:, :half].transpose(0, 1).flatten(1))
    variances = spread.diagonal()
    assert (variances[:-1] >= variances[1:] - 1e-4).all() and 0.5 < variances[0] < 1.01
    assert (spread - torch.diag(variances)).abs().max() < 1e-3


@pytest.mark.parametrize("variant", ["baseline", "fast"])
def test_a_blank_photo_does_not_break_the_initial_weights(variant: str) -> None:
    network, blank = build(variant, 2), torch.zeros(4, 16, 16, 3, dtype=torch.uint8)
    if isinstance(network, Fast):
        whiten(network, blank)
    else:
        assert isinstance(network, Plain)
        standardise(network, blank)
    assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize(("variant", "size"), [("baseline", 33), ("wider", 32)])
def test_the_blocked_layout_gives_the_same_gradients(variant: str, size: int) -> None:
    torch.manual_seed(0)
    network = build(variant, 2)
    pixels = torch.randint(0, 256, (4, size, size, 3), dtype=torch.uint8)
    gradients = []
    for blocked in (False, True):
        network.zero_grad()
        torch.nn.functional.cross_entropy(network(pixels, blocked=blocked), torch.tensor([0, 1, 1, 0])).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(list(network.parameters()))
    for plain, blocked in zip(*gradients, strict=True):
        assert (plain - blocked).abs().max() <= 1e-4 * plain.abs().max()


@pytest.mark.parametrize(("variant", "size"), [("baseline", 24), ("wider", 32), ("fast", 37)])
def test_the_evidence_of_all_places_is_the_logit(variant: str, size: int) -> None:
    """Less the biases: for `fast` the last layer's, for the others the same for photos with the same hidden units."""
    torch.manual_seed(0)
    network = build(variant, 3).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for name, parameter in network.head.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        pixels = torch.randint(0, 256, (4, size, size, 3), dtype=torch.uint8)
        evidence = network.evidence(network.maps(pixels))
        assert evidence.shape[:2] == (4, 3) and evidence.shape[2] > 1
        assert torch.allclose(evidence.sum(dim=(2, 3)), network(pixels), atol=1e-4)
        assert network(pixels).abs().max() > 0.01
