import math

import pytest
import torch

from catsdogs.nets.registry import build
from catsdogs.train.averaging import Average
from catsdogs.train.muon import ITERATIONS, QUINTIC, Muon, turn
from catsdogs.train.recipe import RECIPES, Phase, Recipe


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(matrix)
    turn(found, matrix, 1.0)
    return found


def test_an_update_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 40), (40, 16), (24, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.3 < values.min() and values.max() < 1.4


def test_the_direction_is_that_of_the_nearest_orthogonal_matrix() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(16, 40)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(orthogonal(matrix).flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.95


def test_weights_keep_their_norm_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    target, weight = torch.randn(8, 12), torch.randn(8, 12, requires_grad=True)
    optimiser = Muon([weight], lr=0.05)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = ((weight / weight.norm() - target / target.norm()) ** 2).sum()
        loss.backward()
        losses.append(loss.item())
        before = weight.detach().clone()
        optimiser.step()
        rescaled = before * math.sqrt(8) / before.norm()
        assert (weight - rescaled).norm() <= 0.05 * 1.3 * math.sqrt(8)
    assert losses[-1] < 0.05 * losses[0]


def test_the_iteration_on_the_gram_matrix_is_that_on_the_weights() -> None:
    torch.manual_seed(0)
    first, second, third = QUINTIC
    weights = torch.randn(24, 96)
    expected = weights / weights.norm()
    for _ in range(ITERATIONS):
        square = expected @ expected.T
        expected = (first * torch.eye(24) + second * square + third * square @ square) @ expected
    assert torch.allclose(orthogonal(weights), expected, atol=1e-4)
    assert torch.allclose(orthogonal(weights.T), expected.T, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("out", [4, 40])  # wide and tall
def test_two_steps_change_convolutions_as_the_formula_says(out: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight = torch.randn(out, 3, 3, 3).contiguous(memory_format=layout).requires_grad_()
    expected, average = weight.detach().clone().flatten(1), torch.zeros(out, 27)
    optimiser = Muon([weight], lr=0.1, momentum=0.5)
    for _ in range(2):
        weight.grad = torch.randn(out, 3, 3, 3)
        gradient = weight.grad.flatten(1)
        average = 0.5 * average + gradient
        expected = out**0.5 * expected / expected.norm() - 0.1 * orthogonal(gradient + 0.5 * average)
        optimiser.step()
    assert torch.allclose(weight.detach().flatten(1), expected, atol=1e-5)


@pytest.mark.parametrize(("rows", "off"), [(16, 0.0), (128, 0.2)])
def test_a_coarse_iteration_leads_nearly_to_the_same_weights(rows: int, off: float) -> None:
    torch.manual_seed(0)
    exact = torch.randn(rows, 4 * rows, requires_grad=True)
    coarse = exact.detach().clone().requires_grad_()
    exact.grad = torch.randn(rows, 4 * rows)
    coarse.grad = exact.grad.clone()
    Muon([exact], lr=0.1).step()
    Muon([coarse], lr=0.1, precision=torch.bfloat16).step()
    assert exact.dtype == coarse.dtype == torch.float32
    assert (exact - coarse).norm() <= off * 0.1 * math.sqrt(rows)
    assert bool((exact != coarse).any()) == (off > 0)


def test_every_weight_of_fast_has_exactly_one_optimiser() -> None:
    network = build("fast", 2)
    muon, adam = RECIPES["fast"].optimisers(network, 0.002)
    mine = [[weight for group in optimiser.param_groups for weight in group["params"]] for optimiser in (muon, adam)]
    assert all(weight.dim() == 4 for weight in mine[0])
    assert any(weight is network.stem.weight for weight in mine[1])
    assert len({id(weight) for weight in [*mine[0], *mine[1]]}) == len(list(network.parameters()))
    assert muon.param_groups[0]["lr"] == 40 * adam.param_groups[0]["lr"]


def test_the_rate_rises_and_falls_to_zero() -> None:
    fast, plain = RECIPES["fast"], RECIPES["baseline"]
    assert fast.rate(0) < 0.05 and fast.rate(fast.warm_up) == 1 and fast.rate(1) == 0
    assert plain.rate(0) == 1 and abs(plain.rate(0.5) - 0.5) < 1e-9 and plain.rate(1) == 0


def test_photos_grow_with_the_training_and_fit_the_network() -> None:
    recipe = Recipe(phases=(Phase(0.5, 0.5), Phase(1, 1)))
    assert [recipe.side(done, 96, 16) for done in (0, 0.49, 0.5, 1)] == [48, 48, 96, 96]
    assert recipe.side(0, 20, 16) == 16 and recipe.side(0, 16, 16) == 16 and recipe.side(0.9, 20, 16) == 20


def test_the_average_trails_the_weights_and_follows_exactly_without_a_share() -> None:
    torch.manual_seed(0)
    network = build("fast", 2)
    trailing, exact = Average(network, 0.9), Average(network, 0.0)
    start = network.head.weight.detach().clone()
    with torch.no_grad():
        network.head.weight += 1
        network.norm.running_mean += 1
    for step in range(1, 6):
        trailing.update(network, step)
        exact.update(network, step)
    moved = (trailing.network.head.weight - start).mean()
    assert 0.9 < moved < 1.0  # the first steps follow quickly: 1 - (1/11 * 2/12 * ... ) of the way
    assert torch.equal(exact.network.head.weight, network.head.weight)
    assert torch.equal(exact.network.norm.running_mean, network.norm.running_mean)
