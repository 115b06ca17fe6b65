"""What optimisers have in common, and Adam.

Not torch.optim: whoever makes one of those waits 3.3 s while torch's compiler is imported, which nothing here uses (2
cores at 2.6 GHz, torch 2.13).
"""

from collections.abc import Iterable
from typing import Any

import torch

Group = dict[str, Any]  # `params`, a list of weights, and `lr`, their learning rate


class Optimiser:
    """Changes weights in place; for each it may remember tensors of the same shape."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.param_groups = list(groups)
        self.steps = 0
        self._memories: list[dict[str, torch.Tensor]] = [{} for _ in self._weights()]

    def zero_grad(self) -> None:
        for weight in self._weights():
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """By the gradients; weights without one stay."""
        self.steps += 1
        memories = iter(self._memories)
        for group in self.param_groups:
            pairs = [(weight, next(memories)) for weight in group["params"]]
            some = [(weight, memory) for weight, memory in pairs if weight.grad is not None]
            if some:
                self.change([weight for weight, _ in some], [memory for _, memory in some], group["lr"])

    def change(self, weights: list[torch.Tensor], memories: list[dict[str, torch.Tensor]], rate: float) -> None:
        """Those of a group, which all have gradients."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "memories": self._memories}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError where the state is of other weights."""
        memories, weights = state["memories"], self._weights()
        if len(memories) != len(weights) or any(
                tensor.shape != weight.shape for memory, weight in zip(memories, weights, strict=True)
                for tensor in memory.values()):
            raise ValueError("this is the state of other weights")
        self.steps = state["steps"]
        self._memories = [{name: tensor.to(weight.device, weight.dtype, copy=True) for name, tensor in memory.items()}
                          for memory, weight in zip(memories, weights, strict=True)]

    def _weights(self) -> list[torch.Tensor]:
        return [weight for group in self.param_groups for weight in group["params"]]


def remembered(memories: list[dict[str, torch.Tensor]], name: str, weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """What each has under this name; zeros at first."""
    for memory, weight in zip(memories, weights, strict=True):
        if name not in memory:
            memory[name] = torch.zeros_like(weight)
    return [memory[name] for memory in memories]


class Adam(Optimiser):
    """Adam (Kingma and Ba 2015), with decoupled weight decay (Loshchilov and Hutter 2019) where there is any."""

    def __init__(self, groups: Iterable[Group], *, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8,
                 weight_decay: float = 0.0) -> None:
        super().__init__(groups)
        self.betas, self.epsilon, self.weight_decay = betas, epsilon, weight_decay

    def change(self, weights: list[torch.Tensor], memories: list[dict[str, torch.Tensor]], rate: float) -> None:
        first, second = self.betas
        gradients = [weight.grad for weight in weights if weight.grad is not None]  # every one: others were left out
        means, squares = (remembered(memories, name, weights) for name in ("mean", "square"))
        if self.weight_decay:
            torch._foreach_mul_(weights, 1 - rate * self.weight_decay)
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - second**self.steps) ** 0.5)
        torch._foreach_add_(roots, self.epsilon)
        torch._foreach_addcdiv_(weights, means, roots, -rate / (1 - first**self.steps))
