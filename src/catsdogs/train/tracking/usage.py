"""What the training takes of the machine, every ten seconds, under the names that MLflow shows as system metrics."""

import threading
from collections.abc import Callable

from catsdogs.machine import cores

EVERY_SECONDS = 10.0
MEGA = 1e6


class Usage:
    """A thread that reports until it is stopped; the first report comes after the first interval."""

    def __init__(self, report: Callable[[dict[str, float], int], None], every: float = EVERY_SECONDS) -> None:
        import psutil

        self._process, self._report, self._every = psutil.Process(), report, every
        self._process.cpu_percent()  # the first answer is about nothing; the next ones about the time since
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        step = 0
        while not self._stopped.wait(self._every):
            self._report(self.read(), step)
            step += 1

    def read(self) -> dict[str, float]:
        """Shares of 0 to 100 of the cores that this process may use, and megabytes."""
        figures = {
            "system/cpu_utilization_percentage": self._process.cpu_percent() / cores(),
            "system/system_memory_usage_megabytes": self._process.memory_info().rss / MEGA,
        }
        import torch

        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            figures["system/gpu_0_memory_usage_megabytes"] = torch.cuda.memory_allocated() / MEGA
        return figures

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(self._every)
