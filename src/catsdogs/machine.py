"""What of this machine the process may use."""

import ctypes
import os
import time
from pathlib import Path

M_MMAP_THRESHOLD = -3  # of malloc.h


def cores() -> int:
    """Processor cores that this process may use: its affinity, lowered to its cgroup's quota (container limits)."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def seconds_alive() -> float:
    """How long this process has been running, imports included; 0 where the system does not say."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)


def crowding() -> float:
    """How many times longer this process has taken so far than it would have by itself, 1 to 10.

    Starting is work of one thread: what goes beyond its own processor time, other programs took.
    """
    return min(10.0, max(1.0, seconds_alive() / max(time.process_time(), 1e-3)))


def give_back_large_memory() -> None:
    """Have glibc return blocks of a megabyte or more to the system as soon as they are free.

    By itself it learns to keep blocks of up to 32 MB: under damaged photos that announce large sizes, the server's
    memory went up and down between 89 and 134 MB, with this it stayed at 76 to 77 (12,000 photos a step).
    """
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)
    except (OSError, AttributeError):
        return  # another C library: it has ways of its own
