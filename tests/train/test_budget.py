"""A time budget on a machine that gives the training only part of its time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catsdogs.errors import UsageError
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos
from catsdogs.train import prepare
from catsdogs.train.prepare import SECONDS_AFTER, _training_seconds
from tests.models import CPU, train_settings

WORK = """
import json, sys, time
from catsdogs.machine import crowding
began = time.process_time()
while time.process_time() - began < 0.3:
    pass
print("worked", flush=True)
sys.stdin.readline()
print(json.dumps([crowding(), time.process_time()]), flush=True)
"""


def test_time_that_others_took_counts_as_crowding() -> None:
    """A stopped process is a starved one: the clock goes on, its own processor time does not."""
    process = subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "worked\n"
    process.send_signal(signal.SIGSTOP)
    starved = 2.0
    time.sleep(starved)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate("\n")
    found, own = json.loads(out)
    # At least this much, and more where this machine was busy besides; never more than 10.
    assert min(10.0, 1 + starved / own) * 0.95 <= found <= 10


def seconds_left(photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, crowding: float, budget: float = 300) -> float:
    """Of a process that has just been born on a machine whose network costs nothing: what is being tested is the sum,
    and the clocks of a machine under test are its noise."""
    monkeypatch.setattr(prepare, "crowding", lambda: crowding)
    monkeypatch.setattr(prepare, "seconds_alive", lambda: 10.0)
    monkeypatch.setattr(prepare, "seconds_a_photo", lambda network, photos, device: 0.0)
    left = _training_seconds(train_settings(Path(), Path(), time_budget=budget), build("baseline", 2), photos, CPU)
    assert left is not None
    return left


def test_a_crowded_machine_is_left_more_time_for_what_comes_after(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seconds_left(photos, monkeypatch, 1.0) == 300 - 10 - SECONDS_AFTER
    assert seconds_left(photos, monkeypatch, 5.0) == 300 - 10 - 5 * SECONDS_AFTER


def test_a_budget_that_a_crowded_machine_cannot_keep_names_one_that_it_can(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = round(10 + 10 * SECONDS_AFTER)
    assert seconds_left(photos, monkeypatch, 1.0, budget=60) == 60 - 10 - SECONDS_AFTER
    with pytest.raises(UsageError, match=f"--time-budget 60s is too short here: {needed} s .* "
                                         f"give at least {4 / 3 * needed:.0f}s"):
        seconds_left(photos, monkeypatch, 10.0, budget=60)
    assert seconds_left(photos, monkeypatch, 10.0, budget=4 / 3 * needed + 0.01) == pytest.approx(needed / 3, abs=0.02)
