"""What of this machine the process may use."""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1  # of malloc.h
PR_SET_PDEATHSIG = 1  # of prctl.h


def cores(groups: Path = Path("/sys/fs/cgroup"), member: Path = Path("/proc/self/cgroup")) -> int:
    """Processor cores that this process may use: its affinity, lowered to the quotas of its cgroup and those above it
    (limits of containers and of systemd), rounded down, and to its share of them (`take_share`); at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *_share.values(), *(int(quota) for quota in _quotas(groups, member))]))


def _quotas(groups: Path, member: Path) -> list[float]:
    """Cores of each limit. In a container its own group is what lies at the top, whatever the path says."""
    try:
        lines = [line.split(":", 2) for line in member.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for number, controllers, path in (line for line in lines if len(line) == 3):
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        top = groups if number == "0" else groups / controllers
        folder = top / path.lstrip("/")
        for group in {top, *(above for above in (folder, *folder.parents) if top in above.parents)}:
            try:
                if number == "0":
                    quota, period = (group / "cpu.max").read_text().split()
                else:
                    quota, period = ((group / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
                if int(quota) > 0:
                    found.append(int(quota) / int(period))
            except (OSError, ValueError):
                continue  # no limit here (`max`), or no such group in this container
    return found


def take_share(of: int) -> None:
    """Be one of so many processes that share the cores: from here on `cores` are a part of them, at least one.

    Which, the system decides: pinned by number, two such commands on a machine would share the same few.
    """
    _share["cores"] = max(1, cores() // of)


_share: dict[str, int] = {}
_begun = {"alive": 0.0, "worked": 0.0, "ran": 0.0, "waited": 0.0}  # seconds, when its step of a chain began


def begin_step() -> None:
    """From here on the two below count: the commands before this one in the same process are none of its own."""
    ran, waited = _scheduled() or (0.0, 0.0)
    _begun.update(alive=_age(), worked=time.process_time(), ran=ran, waited=waited)


def seconds_alive() -> float:
    """How long this process, or its step of a chain, has been running, imports included; 0 where the system does not
    say."""
    return max(0.0, _age() - _begun["alive"])


def _age() -> float:
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def crowding() -> float:
    """How many times longer this process has taken so far than it would have by itself, 1 to 10.

    Starting is work of one thread. How long that was ready and had to wait for a processor, other programs took; that
    it waited for a disk, as after a reboot, they did not: counted too, it made a budget of 24 s one of 31. Where the
    system does not say, all counts that goes beyond the processor time.
    """
    if (found := _scheduled()) is None:
        return min(10.0, max(1.0, seconds_alive() / max(time.process_time() - _begun["worked"], 1e-3)))
    ran, waited = found[0] - _begun["ran"], found[1] - _begun["waited"]
    return min(10.0, 1 + waited / max(ran, 1e-3))


def _scheduled(path: Path = Path("/proc/self/schedstat")) -> tuple[float, float] | None:
    """Seconds that the main thread has run, and has waited for a processor; None where Linux does not count them."""
    try:
        ran, waited, _ = path.read_text().split()
    except (OSError, ValueError):
        return None
    return (int(ran) / 1e9, int(waited) / 1e9) if int(ran) else None


def give_back_large_memory() -> None:
    """Have glibc return blocks of a megabyte or more to the system as soon as they are free.

    By itself it learns to keep blocks of up to 32 MB: under damaged photos that announce large sizes, the server's
    memory went up and down between 89 and 134 MB, with this it stayed at 76 to 77 (12,000 photos a step). Smaller
    blocks stay, up to 4 MB of them: by itself it then gives back what goes beyond 128 kB after every photo, and
    fetching it again took 0.3 of the 2.0 ms that a photo of 500 x 375 takes.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 1 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 4 << 20)
    except (OSError, AttributeError):
        return  # another C library: it has ways of its own


def give_back_free_memory() -> None:
    """Have glibc return what is free now: after a network was compiled, 4 MB."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def open_more_files() -> None:
    """Be let open as many files, connections among them, as an administrator lets this process: what systems let it by
    themselves, 1,024 or 256 on a Mac, is for programs that cannot count beyond."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        return  # macOS says that there is no limit, and has one


def give_way(niceness: int = 5) -> None:
    """Let all else that runs, threads of this process included, have the processor before this thread. On Linux, where
    threads have a niceness of their own."""
    if sys.platform != "linux":
        return
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + niceness)
    except OSError:
        return


def end_with_parent(parent: int) -> None:
    """Have Linux send SIGTERM to this process when `parent`, which forked it, ends: even where that one was killed."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return  # not Linux
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)  # it ended before this was said
