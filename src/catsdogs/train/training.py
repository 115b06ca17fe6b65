"""The state of a run: all that a checkpoint holds."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from catsdogs.reports import Epoch
from catsdogs.log import event
from catsdogs.nets.fast import REDUCTION
from catsdogs.nets.network import Network
from catsdogs.train.averaging import Average
from catsdogs.train.optimiser import Optimiser
from catsdogs.train.plan import Plan
from catsdogs.train.recipe import adam


@dataclass
class Training:
    network: Network
    optimisers: list[Optimiser]
    average: Average
    pupil: nn.Linear | None  # the network's features -> the teacher's
    rates: list[list[float]]  # learning rate of each group of each optimiser at full height
    steps: int = 0
    seconds: float = 0.0  # since the training began, validation and checkpoints included
    step_seconds: float = 0.0  # of these, spent in steps
    epoch_loss: float = 0.0  # sum over the photos since the last validation, or since the epoch began
    epoch_photos: int = 0
    epoch_seconds: float = 0.0
    input_seconds: float = 0.0  # of `step_seconds`, spent on making batches
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    best_place: int = 0  # of the best row in the history, from 1
    owed: bool = False  # a validation, after the last step
    history: list[Epoch] = field(default_factory=list)

    @classmethod
    def begin(
        cls, network: Network, plan: Plan, precision: torch.dtype, pupil: nn.Linear | None = None
    ) -> "Training":
        optimisers = plan.recipe.optimisers(network, plan.learning_rate, precision)
        if pupil is not None:
            optimisers.append(adam(pupil.parameters(), plan.learning_rate))
        rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
        return cls(network, optimisers, Average(network, plan.recipe.averaging), pupil, rates)

    @property
    def best_row(self) -> Epoch:
        return self.history[self.best_place - 1]

    @property
    def best_epoch(self) -> int:
        """Its number; within a time budget not every epoch is validated, so it is not its place in the history."""
        return self.best_row.epoch

    def scale_rates(self, share: float) -> None:
        for optimiser, rates in zip(self.optimisers, self.rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share

    def count(self, loss: float, photos: int, seconds: float, passed: float) -> None:
        """Add a step: its mean loss, its photos, how long it took, and how long ago the one before it ended."""
        self.epoch_loss += loss * photos
        self.epoch_photos += photos
        self.epoch_seconds += seconds
        self.step_seconds += seconds
        self.seconds += passed

    def end_epoch(self) -> None:
        self.owed = False
        self.epoch_loss = self.epoch_seconds = 0.0
        self.epoch_photos = 0

    def note(self, row: Epoch) -> None:
        """Keep a copy of the averaged weights where this epoch is the best: higher accuracy, then lower loss."""
        self.history.append(row)
        if not self.best_place or _rank(row) > _rank(self.best_row):
            # clone: a reference would turn into the last weights as training goes on
            self.best = {name: tensor.detach().clone() for name, tensor in self.average.network.state_dict().items()}
            self.best_place = len(self.history)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "pupil": None if self.pupil is None else self.pupil.state_dict(),
            "average": self.average.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            REDUCTION: self.network.reduction,
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
            "best": self.best,
            "history": [row.model_dump() for row in self.history],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises errors of many kinds where the state is of another network."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        if self.pupil is not None:
            self.pupil.load_state_dict(state["pupil"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for name in _NUMBERS:
            setattr(self, name, state["numbers"][name])
        self.best = state["best"]
        self.history = [Epoch(**row) for row in state["history"]]


_NUMBERS = ("steps", "seconds", "step_seconds", "epoch_loss", "epoch_photos", "epoch_seconds", "input_seconds",
            "best_place", "owed")


def resume(training: Training, state: dict[str, Any] | None) -> None:
    """Go on from the state of a checkpoint where there is one that fits; otherwise leave the training as it is."""
    if state is None:
        return
    fresh = copy.deepcopy(training.state())
    try:
        training.restore(state)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError):
        training.restore(fresh)  # some layers may have been overwritten before one did not fit
        event("checkpoint_ignored", because="it was written for another network")
        return
    event("resumed", step=training.steps)


def _rank(row: Epoch) -> tuple[float, float]:
    return row.val_accuracy, -row.val_loss
