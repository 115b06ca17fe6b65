"""Against torch.optim, whose import is what is spared."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from catsdogs.train.muon import Muon
from catsdogs.train.optimiser import Adam, Optimiser


def weights() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, requires_grad=True) for shape in ((8, 12), (12,), (4, 3, 3, 3))]


def walked(optimiser: Optimiser | torch.optim.Optimizer, mine: list[torch.Tensor], steps: range) -> None:
    for step in steps:
        random = torch.Generator().manual_seed(step)
        optimiser.zero_grad()
        for weight in mine:
            weight.grad = torch.randn(weight.shape, generator=random)
        optimiser.step()


@pytest.mark.parametrize("options", [{}, {"betas": (0.9, 0.99)}, {"weight_decay": 0.1}])
def test_adam_is_that_of_torch(options: dict[str, Any]) -> None:
    mine, theirs = weights(), weights()
    walked(Adam([{"params": mine[:1], "lr": 0.01}, {"params": mine[1:], "lr": 0.1}], **options), mine, range(20))
    walked(torch.optim.AdamW([{"params": theirs[:1], "lr": 0.01}, {"params": theirs[1:], "lr": 0.1}],
                             **{"weight_decay": 0.0, **options}), theirs, range(20))
    for one, other in zip(mine, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", [lambda mine: Adam([{"params": mine, "lr": 0.01}]), lambda mine: Muon(mine, 0.05)])
def test_a_restored_state_goes_on_to_the_bit(kind: Any) -> None:
    matrices = [weight for weight in weights() if weight.dim() > 1]
    straight, again = ([weight.detach().clone().requires_grad_() for weight in matrices] for _ in range(2))
    walked(kind(straight), straight, range(6))
    first = kind(again)
    walked(first, again, range(3))
    second = kind(again)
    second.load_state_dict(first.state_dict())
    walked(second, again, range(3, 6))
    assert all(torch.equal(one, other) for one, other in zip(straight, again, strict=True))


def test_the_state_of_other_weights_is_refused() -> None:
    mine, others = weights(), weights()[:2]
    optimiser, other = Adam([{"params": mine, "lr": 0.01}]), Adam([{"params": others, "lr": 0.01}])
    walked(other, others, range(1))
    with pytest.raises(ValueError, match="other weights"):
        optimiser.load_state_dict(other.state_dict())
    others = [weight.detach().reshape(weight.shape[::-1]).requires_grad_() for weight in others]
    turned = Adam([{"params": others, "lr": 0.01}])
    with pytest.raises(ValueError, match="other weights"):
        turned.load_state_dict(other.state_dict())


def test_weights_without_a_gradient_stay() -> None:
    mine = weights()
    before = [weight.detach().clone() for weight in mine]
    optimiser = Adam([{"params": mine, "lr": 0.01}])
    mine[0].grad = torch.ones_like(mine[0])
    optimiser.step()
    assert [torch.equal(one, other) for one, other in zip(before, mine, strict=True)] == [False, True, True]


def test_a_step_does_not_wait_for_the_compiler_of_torch() -> None:
    code = ("import sys, torch\n"
            "from catsdogs.nets.registry import build\n"
            "from catsdogs.train.recipe import RECIPES\n"
            "network = build('fast', 2)\n"
            "optimisers = RECIPES['fast'].optimisers(network, 0.002)\n"
            "network(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).sum().backward()\n"
            "for optimiser in optimisers:\n"
            "    optimiser.step()\n"
            "    optimiser.zero_grad()\n"
            "print('torch._dynamo' in sys.modules)")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.strip() == "False"
