"""What the machine offers, and how to make use of it."""

import contextlib
import ctypes
import time
from dataclasses import dataclass

import torch
from torch import nn

from catsdogs.machine import cores
from catsdogs.settings.training import Precision
from catsdogs.train.processes import ALONE, Processes

# glibc's mallopt: parameters and the largest values it takes
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
GIB = 1 << 30
RUNS = 8


@dataclass(frozen=True)
class Device:
    device: torch.device
    precision: torch.dtype
    blocked: bool = False
    """Train in oneDNN's blocked layout: with AVX2 the gradient of the weights is slow in channels-last (3 convolutions
    of 224 px: 53 to 82 GFLOP/s, blocked 83 to 105 of 155 possible), 38 to 41 instead of 24 to 27 images/s."""

    @property
    def arithmetic(self) -> str:
        """`float32` or `bfloat16`."""
        return str(self.precision).removeprefix("torch.")

    @property
    def exact(self) -> bool:
        """Whether a processor computes in float32; for a GPU's sake none has to."""
        return self.device.type == "cpu" and self.precision == torch.float32

    def piece(self, batch_size: int, image_size: int) -> int:
        """Photos to push through the network at a time.

        On a processor as many as 16 of 224 px: as fast as 64 at once, with a quarter of the memory.
        """
        if self.device.type != "cpu":
            return max(1, batch_size)
        return max(1, min(batch_size, 16 * 224**2 // image_size**2))

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)


def choose(force_cpu: bool, precision: Precision = "auto", processes: Processes = ALONE) -> Device:
    """A GPU where there is one and it is allowed; `auto` is bfloat16 where it is faster, in all processes or in none.

    Processes that share a machine share its cores: torchrun says how many each may use by OMP_NUM_THREADS.
    """
    if processes.count == 1:
        torch.set_num_threads(cores())  # those of a GPU as well: test, integers and export are the processor's work
    if torch.cuda.is_available() and not force_cpu:
        torch.backends.cudnn.deterministic = True  # the same seed is to give the same weights
        # Torch counts emulation (T4, V100) as support.
        half = precision == "bfloat16" or (
            precision == "auto" and torch.cuda.is_bf16_supported(including_emulation=False))
        return Device(torch.device("cuda"), torch.bfloat16 if half else torch.float32)
    keep_memory()
    half = precision == "bfloat16" or (precision == "auto" and processes.first and bfloat16_is_faster())
    if processes.from_first(half):
        return Device(torch.device("cpu"), torch.bfloat16)
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    blocked = bool(onednn) and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return Device(torch.device("cpu"), torch.float32, blocked)


def keep_memory() -> None:
    """Let glibc keep the memory of activations instead of giving it back at every step.

    Page faults of fresh activations cost 40 % of a step at 224 px (20 against 34 images/s). Elsewhere than on glibc
    this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, GIB)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * GIB - 1)


def bfloat16_is_faster() -> bool:
    """Measured on a small convolution, both ways, in a tenth of a second.

    2 to 3 times faster with AMX, 1.7 to 1.9 times with AVX-512 BF16, up to 20 times slower where it is emulated. The
    choice decides the weights to the bit, so it must not flicker: one thread's own processor time, unlike the clock,
    does not count what other programs take (the ratio by the clock on a busy machine: 0.02 to 95).
    """
    convolution = nn.Conv2d(32, 64, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.zeros(4, 32, 56, 56).to(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        times = []
        for _ in range(RUNS):
            start = time.thread_time()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                convolution(images).sum().backward()
            times.append(time.thread_time() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return seconds(True) * 1.3 < seconds(False)
    finally:
        torch.set_num_threads(threads)
