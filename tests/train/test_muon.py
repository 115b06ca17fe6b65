import math

import pytest
import torch

from catsdogs.nets.registry import build
from catsdogs.train.averaging import Average
from catsdogs.train.muon import BLOCK, QUINTICS, Muon, turn
from catsdogs.train.recipe import RECIPES, Phase, Recipe


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(matrix)
    turn([(found, matrix)], 1.0)
    return found


def test_an_update_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape, least in (((16, 40), 0.8), ((40, 16), 0.8), ((24, 24), 0.1)):  # a square one has some near 0
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert least < values.min() and values.max() < 1.17


def test_the_direction_is_that_of_the_nearest_orthogonal_matrix() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(16, 40)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(orthogonal(matrix).flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.95


def test_the_polynomials_bring_singular_values_near_one() -> None:
    values = torch.logspace(math.log10(0.015), 0, 10_001, dtype=torch.float64)
    for a, b, c in QUINTICS:
        values = a * values + b * values**3 + c * values**5
    assert 0.84 < values.min() and values.max() < 1.16


@pytest.mark.parametrize("shape", [(2 * BLOCK, 300), (300, 2 * BLOCK), (BLOCK + 2, 300)])
def test_a_large_matrix_is_turned_in_equal_blocks(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    along = shape.index(min(shape))
    expected = [orthogonal(part) for part in matrix.chunk(2, dim=along)]
    assert all(min(part.shape) <= BLOCK for part in expected)
    assert torch.allclose(orthogonal(matrix), torch.cat(expected, dim=along), atol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_matrices_of_as_many_rows_do_not_mix(precision: torch.dtype) -> None:
    """Nor do those of another precision: blocks of 50 rows of a large matrix, and a small one of as many."""
    torch.manual_seed(0)
    shapes = ((16, 40), (24, 40), (90, 16), (16, 20), (100, 200), (50, 200))
    matrices = [(number + 1) * torch.randn(shape) for number, shape in enumerate(shapes)]
    found = [torch.ones_like(matrix) for matrix in matrices]
    turn(zip(found, matrices, strict=True), -0.5, precision)
    for turned, matrix in zip(found, matrices, strict=True):
        alone = torch.ones_like(matrix)
        turn([(alone, matrix)], -0.5, precision)
        assert torch.allclose(turned, alone, atol=1e-5)


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
    weights = torch.randn(24, 96)
    expected = weights / weights.norm()
    for first, second, third in QUINTICS:
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
        weight.grad = torch.randn(out, 3, 3, 3).contiguous(memory_format=layout)
        gradient = weight.grad.flatten(1).clone()
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
