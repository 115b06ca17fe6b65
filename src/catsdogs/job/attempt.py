"""One meeting of several nodes under torchrun's agent: `python -m catsdogs.job.attempt NODES RANK ADDRESS SECONDS ...`,
the rest being flags of `catsdogs train`.

Ends as its trainer ends, which torchrun's own command does not tell. A process of its own, because the store that the
nodes meet in lives as long as the process that made it.
"""

import sys

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from catsdogs.log import event

NOT_MET = 75


def attempt(nodes: int, rank: int, address: str, seconds: int, flags: list[str]) -> int:
    """Train on this node with the others; the trainer's exit status, 128 + n where a signal ended it."""
    config = LaunchConfig(
        min_nodes=nodes, max_nodes=nodes, nproc_per_node=1, run_id="catsdogs", max_restarts=0, rdzv_backend="static",
        rdzv_endpoint=address, rdzv_configs={"rank": rank, "timeout": seconds}, monitor_interval=0.5)
    try:
        elastic_launch(config, sys.executable)("-m", "catsdogs", "train", *flags)
    except ChildFailedError as error:
        (status,) = {failure.exitcode for failure in error.failures.values()} or {NOT_MET}
        return 128 - status if status < 0 else status
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    except RuntimeError as error:  # the store's errors: nobody came, or it went away
        event("not_met", node=rank, because=str(error).splitlines()[0])
        return NOT_MET
    return 0


if __name__ == "__main__":
    sys.exit(attempt(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
