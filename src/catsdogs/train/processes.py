"""Several processes that train one network: each takes its part of every batch, and gradients are summed.

Started by `torchrun`, on one machine or several. Without it there is one process, and nothing here costs anything.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import distributed

from catsdogs.errors import CatsdogsError, UsageError


T = TypeVar("T")


class PeerLost(CatsdogsError):
    """Another process of this training is gone; nothing is lost but the time since the last checkpoint."""

    exit_status = 75  # EX_TEMPFAIL: the same once more may succeed, which `catsdogs job` goes by


@dataclass(frozen=True)
class Processes:
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """The one that writes and reports."""
        return self.rank == 0

    def part(self, total: int) -> slice:
        """Places in a batch of `total` photos that are this process's: consecutive, of sizes that differ by one."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def sum_gradients(self, *networks: torch.nn.Module) -> None:
        """Replace every gradient by its sum over the processes, and what normalisation has seen so far by its mean, in
        one message: the first process, which is the one that saves, has seen only its own part of the photos."""
        if self.count == 1:
            return
        weights = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        seen = [values for network in networks for values in _seen(network)]
        together = torch.cat([*(gradient.reshape(-1) for gradient in gradients),
                              *((values / self.count).reshape(-1) for values in seen)])
        distributed.all_reduce(together)
        parts = torch.split(together, [tensor.numel() for tensor in (*weights, *seen)])
        for weight, total in zip(weights, parts, strict=False):
            weight.grad = total.view(weight.shape).contiguous(memory_format=_format(weight))
        for values, mean in zip(seen, parts[len(weights):], strict=True):
            values.copy_(mean.view(values.shape))

    def total(self, *values: float) -> list[float]:
        """The sum of each value over the processes."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=_message_device())
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def from_first(self, value: Any) -> Any:
        """What the first process holds, plain values and tensors, in all of them."""
        if self.count == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gathered(self, values: list[T]) -> list[T]:
        """What all processes hold, arrays and plain values, one after another; in all of them."""
        if self.count == 1:
            return values
        every: list[list[T]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(every, values)
        return [value for theirs in every for value in theirs]

    def alike(self, *networks: torch.nn.Module) -> None:
        """Let networks begin as the first process's: machines round differently, and gradients of networks that differ
        would be summed without a word."""
        if self.count == 1:
            return
        for network in networks:
            weights = {name: values.cpu() for name, values in network.state_dict().items()}
            network.load_state_dict(self.from_first(weights))

    def done_by_first(self, work: Callable[[], T]) -> T:
        """What the first process's work gives, in all of them; what it raises, if a CatsdogsError, likewise: the others
        would take it for lost, and wait for it."""
        if self.count == 1:
            return work()
        done: tuple[T | None, CatsdogsError | None] = None, None
        if self.first:
            try:
                done = work(), None
            except CatsdogsError as error:
                done = None, error
        value, refusal = self.from_first(done)
        if refusal is not None:
            raise refusal
        return cast(T, value)


ALONE = Processes()


@contextmanager
def joined(on_gpu: bool) -> Iterator[Processes]:
    """The group that torchrun started this process in, or this process alone.

    Raises UsageError without a backend, PeerLost where another process ends before its work is done.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield ALONE
        return
    backend = "nccl" if on_gpu else "gloo"
    if not distributed.is_backend_available(backend):
        raise UsageError(f"This build of torch cannot join processes by {backend}: start without torchrun.")
    if on_gpu:
        if (place := distributed.get_node_local_rank()) >= (gpus := torch.cuda.device_count()):
            raise UsageError(f"This machine has {gpus} GPUs, and torchrun started more processes than that on it: give "
                             f"it --nproc-per-node {gpus}.")
        torch.cuda.set_device(place)
    try:
        distributed.init_process_group(backend)
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):  # a path is all they have
            raise
        raise PeerLost("Another process of this training is gone: start all of them again, they go on from the last "
                       f"checkpoint ({str(error).splitlines()[0]}).") from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _seen(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Means and variances over the batches so far, of layers that are still learning them."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and layer.training:
            yield from (values for values in (layer.running_mean, layer.running_var) if values is not None)


def _format(weight: torch.Tensor) -> torch.memory_format:
    channels_last = weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def _message_device() -> torch.device:
    on_gpu = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
