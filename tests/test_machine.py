"""How many cores a process may use, in the cgroups of containers and of systemd; and what memory it keeps."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.machine import cores


def limited(folder: Path, lines: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, affinity: int = 8) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))  # this machine may have fewer
    (folder / "member").write_text(lines)
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cores(folder / "groups", folder / "member")


@pytest.mark.parametrize(("lines", "files", "expected"), [
    ("0::/", {"cpu.max": "max 100000"}, 8),
    ("0::/", {"cpu.max": "200000 100000"}, 2),
    ("0::/", {"cpu.max": "350000 100000"}, 3),
    ("0::/", {"cpu.max": "50000 100000"}, 1),  # half a core
    ("0::/", {}, 8),
    ("0::/a.slice/b.service", {"a.slice/cpu.max": "400000 100000", "a.slice/b.service/cpu.max": "max 100000"}, 4),
    ("0::/a.slice/b.service", {"a.slice/cpu.max": "400000 100000", "a.slice/b.service/cpu.max": "300000 100000"}, 3),
    ("0::/../host/path", {"cpu.max": "200000 100000"}, 2),  # a container that sees the host's path
    ("5:cpu,cpuacct:/docker/1", {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "300000",
                                 "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000"}, 3),  # the older cgroups
    ("5:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 8),
    ("nonsense", {"cpu.max": "nonsense"}, 8),
])
def test_quotas_of_every_group_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, files: dict[str, str], expected: int
) -> None:
    assert limited(tmp_path, lines, files, monkeypatch) == expected


def test_the_affinity_is_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limited(tmp_path, "0::/", {"cpu.max": "400000 100000"}, monkeypatch, affinity=2) == 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc is meant")
@pytest.mark.parametrize(("kilobytes", "kept"), [(64, True), (2048, False)])
def test_small_blocks_are_kept_and_large_ones_given_back(kilobytes: int, kept: bool) -> None:
    """A page that was given back faults when it is used again."""
    code = f"""
import resource
from catsdogs.machine import give_back_large_memory
give_back_large_memory()
def use():
    blocks = [bytearray({kilobytes} << 10) for _ in range(8)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * 4096 / (20 * 8 * {kilobytes << 10}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    share = float(run.stdout)  # of the memory that was used, that was new
    assert share < 0.1 if kept else share > 0.9
