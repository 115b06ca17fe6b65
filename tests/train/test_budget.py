"""A time budget on a machine that gives the training only part of its time."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catsdogs import machine
from catsdogs.errors import UsageError
from catsdogs.nets.registry import build
from catsdogs.packed import PackedPhotos
from catsdogs.train import prepare, reserve
from catsdogs.train.interruption import Interruption
from catsdogs.train.keeper import Keeper
from catsdogs.train.pace import MOST, SECONDS, Pace
from catsdogs.train.plan import Plan
from catsdogs.train.processes import ALONE, Processes
from catsdogs.train.recipe import RECIPES
from catsdogs.train.reserve import DRIFT, SECONDS_AFTER, Divided, divided, lasts
from catsdogs.train.result import TrainResult
from catsdogs.train.stage import train
from tests.models import CPU, NoCheckpoint, train_settings, trained

WORK = """
import json, sys, time
from catsdogs import machine
if sys.argv[1] == "uncounted":
    machine._scheduled = lambda: None
began = time.process_time()
while time.process_time() - began < 0.3:
    pass
print("worked", flush=True)
sys.stdin.readline()
print(json.dumps([machine.crowding(), time.process_time()]), flush=True)
"""
STARVED = 2.0


def crowding_of(how: str) -> tuple[float, float]:
    """Of a process that does nothing for STARVED seconds, and its own processor time."""
    process = subprocess.Popen([sys.executable, "-c", WORK, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == "worked\n"
    process.send_signal(signal.SIGSTOP)
    time.sleep(STARVED)
    process.send_signal(signal.SIGCONT)
    out, _ = process.communicate("\n")
    found, own = json.loads(out)
    return found, own


def test_time_that_passed_counts_as_crowding_where_nobody_says_whose_it_was() -> None:
    """A stopped process is a starved one: the clock goes on, its own processor time does not."""
    found, own = crowding_of("uncounted")
    # At least this much, and more where this machine was busy besides; never more than 10.
    assert min(10.0, 1 + STARVED / own) * 0.95 <= found <= 10


@pytest.mark.skipif(machine._scheduled() is None, reason="this system does not count it")
def test_waiting_for_something_else_than_a_processor_is_no_crowding() -> None:
    found, own = crowding_of("counted")
    assert found < 1 + 0.7 * STARVED / own, "and less, but for what else runs here"


@pytest.mark.skipif(machine._scheduled() is None, reason="this system does not count it")
def test_time_that_others_took_counts_as_crowding() -> None:
    """Three processes on one core."""
    core = str(min(os.sched_getaffinity(0)))
    busy = [subprocess.Popen(["taskset", "-c", core, sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        out = subprocess.run(["taskset", "-c", core, sys.executable, "-c", WORK, "counted"], input="\n", text=True,
                             capture_output=True, check=True).stdout
    finally:
        for process in busy:
            process.kill()
            process.wait()
    found, _ = json.loads(out.splitlines()[-1])
    assert 2 < found <= 10


class Instant:
    """An engine that takes no time."""

    seconds_to_start = 0.0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def seconds_a_photo(self, photos: object) -> float:
        return 0.0


def seconds_left(photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch, crowding: float, budget: float = 300) -> float:
    """Of a process that has just been born on a machine whose network costs nothing: what is being tested is the sum,
    and the clocks of a machine under test are its noise."""
    monkeypatch.setattr(reserve, "crowding", lambda: crowding)
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 10.0)
    monkeypatch.setattr(reserve, "Answering", Instant)
    monkeypatch.setattr(reserve, "seconds_a_photo", lambda network, photos, device: 0.0)
    settings = train_settings(Path(), Path(), time_budget=budget)
    monkeypatch.setattr(reserve, "_statistics_seconds", lambda photos: 0.0)
    found = divided(settings, build("baseline", 2), photos, CPU)
    assert found.left is not None and found.reserve == pytest.approx(budget - 10 - found.left)
    return found.left


def test_a_crowded_machine_is_left_more_time_for_what_comes_after(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seconds_left(photos, monkeypatch, 1.0) == pytest.approx((1 - DRIFT) * 300 - 10 - SECONDS_AFTER)
    assert seconds_left(photos, monkeypatch, 5.0) == pytest.approx((1 - DRIFT) * 300 - 10 - 5 * SECONDS_AFTER)


def test_a_budget_that_a_crowded_machine_cannot_keep_names_one_that_it_can(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 10 + 10 * SECONDS_AFTER
    enough = needed / (3 / 4 - DRIFT)  # a quarter of it is then left
    assert seconds_left(photos, monkeypatch, 1.0, budget=60) == pytest.approx((1 - DRIFT) * 60 - 10 - SECONDS_AFTER)
    with pytest.raises(UsageError, match=f"--time-budget 60s is too short here: {needed + DRIFT * 60:.0f} s .* "
                                         f"give at least {math.ceil(enough)}s"):
        seconds_left(photos, monkeypatch, 10.0, budget=60)
    assert seconds_left(photos, monkeypatch, 10.0, budget=enough + 0.01) == pytest.approx(enough / 4, abs=0.02)


def test_a_budget_is_not_refused_for_what_another_program_took_for_a_moment(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    class Disturbed(Instant):
        def seconds_a_photo(self, photos: object) -> float:
            asked.append(0.0)
            return 10.0 if len(asked) == 1 else 0.0

    monkeypatch.setattr(reserve, "crowding", lambda: 1.0)
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 10.0)
    monkeypatch.setattr(reserve, "Answering", Disturbed)
    monkeypatch.setattr(reserve, "seconds_a_photo", lambda network, photos, device: 0.0)
    settings = train_settings(Path(), Path(), time_budget=60)
    assert divided(settings, build("baseline", 2), photos, CPU).left is not None and len(asked) == 2
    assert divided(settings, build("baseline", 2), photos, CPU).left is not None and len(asked) == 3, "once suffices"


def test_the_statistics_of_photos_are_in_the_reserve(photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < reserve._statistics_seconds(photos.val) < 1
    without = seconds_left(photos, monkeypatch, 1.0)
    monkeypatch.setattr(reserve, "_statistics_seconds", lambda photos: 0.01)
    settings = train_settings(Path(), Path(), time_budget=300)
    found = divided(settings, build("baseline", 2), photos, CPU)
    looked_at = len(photos.train.labels) + len(photos.val.labels)  # fewer than FIT_ON of each
    assert found.left == pytest.approx(without - reserve.MARGIN * looked_at * 0.01)


def test_only_the_first_of_several_processes_measures(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second(Processes):
        def from_first(self, value: Any) -> Any:
            return (Divided(100.0, 5.0, 1.0), None) if value == (None, None) else value

        def gathered(self, values: list[Any]) -> list[Any]:
            return 2 * values

    monkeypatch.setattr(prepare, "divided", lambda *_, **__: pytest.fail("it was measured"))
    settings = train_settings(data_dir, tmp_path, time_budget=300)
    plan = prepare.prepare(settings, Second(rank=1, count=2)).plan
    assert (plan.seconds, plan.reserve, plan.validation) == (100, 5, 0.5), "an epoch is validated by both"


def test_processes_with_other_photos_are_told_before_they_train(data_dir: Path, tmp_path: Path) -> None:
    """They share the validation too: with other splits they would wait for each other without end."""
    class Other(Processes):
        def gathered(self, values: list[Any]) -> list[Any]:
            return [*values, ("another", 16)]

    with pytest.raises(UsageError, match="preprocess the same photos in the same way on every machine"):
        prepare.prepare(train_settings(data_dir, tmp_path), Other(rank=1, count=2))


def test_an_epoch_is_validated_within_a_budget_where_that_costs_little_and_a_step_fits_after_it(
    photos: PackedPhotos
) -> None:
    plan = Plan(recipe=RECIPES["fast"], epochs=1, batch_size=16, learning_rate=1, seed=1, seconds=100, validation=1)
    training = trained(photos, epochs=1, variant="fast")
    keeper = Keeper(training, NoCheckpoint(), ALONE, Interruption())
    training.steps = 10

    def validates(seconds: float, plan: Plan = plan) -> bool:
        training.seconds = seconds
        return keeper.can_validate(plan)

    assert not validates(10) and validates(20), "a tenth of the time so far, and a twentieth"
    assert validates(85) and not validates(92), "a step takes 8.5 s, and 9.2"
    assert validates(1, replace(plan, seconds=None))


def test_the_clock_of_a_budget_begins_with_the_step_of_a_chain() -> None:
    """As `catsdogs job` runs: what it did before the training was none of the training's."""
    code = ("import time; from catsdogs import machine\n"
            "from catsdogs.machine import begin_step, crowding, seconds_alive\n"
            "machine._scheduled = lambda: None\n"
            "time.sleep(1.5); before = seconds_alive(), crowding(); begin_step()\n"
            "started = time.process_time()\nwhile time.process_time() - started < 0.3: pass\n"
            "import json; print(json.dumps([*before, seconds_alive(), crowding()]))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    alive, crowded, afterwards, then = json.loads(answer.stdout)
    assert alive > 1.4 and afterwards < alive and crowded > then


def test_a_machine_that_becomes_busy_is_noticed_and_so_is_its_end() -> None:
    now, worked = 0.0, 0.0
    pace = Pace(lambda: now, lambda: worked)

    def after(stretches: float, cores: float) -> float:
        nonlocal now, worked
        now, worked = now + stretches * SECONDS, worked + stretches * SECONDS * cores
        return pace.slower()

    assert after(0.5, 1.9) == 1 and after(0.5, 1.9) == 1
    assert after(0.9, 0.95) == 1, "a stretch is not over"
    assert after(0.1, 0.95) == pytest.approx(2)
    assert after(1, 0.001) == MOST
    assert after(1, 1.9) == pytest.approx(1) and after(1, 2.5) == 1, "never faster than planned"


def test_a_budget_ends_earlier_where_everything_takes_longer_than_planned() -> None:
    plan = Plan(recipe=RECIPES["fast"], epochs=1, batch_size=1, learning_rate=1, seed=1, seconds=100, reserve=20)
    assert plan.done(50, 10, 50.0) == 0.5 and plan.done(98, 10, 98.0) == 0.98
    assert plan.done(79, 10, 79.0, 2.0) == pytest.approx(79 / 80) and plan.done(80, 10, 80.0, 2.0) == 1
    assert plan.done(10, 10, 10.0, 10.0) == 0.2, "at least half of it is trained"


def test_what_the_first_process_refuses_all_refuse() -> None:
    """Or those that wait for it would take it for lost, and try again."""
    said = UsageError("too short")

    class Rank(Processes):
        def from_first(self, value: Any) -> Any:
            return (None, said) if value in ((None, said), (None, None)) else pytest.fail(f"{value} was sent")

    def refuses() -> None:
        raise said

    for rank in (0, 1):
        with pytest.raises(UsageError, match="too short"):
            Rank(rank=rank, count=2).done_by_first(refuses)
    with pytest.raises(UsageError, match="too short"):
        ALONE.done_by_first(refuses)


def test_once_more_is_answered_only_where_the_budget_lasts_for_it_and_for_the_export(
    photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of mirror images, which are not what is served, are what a late training does without."""
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 50.0)
    looked_at = len(photos.train.labels) + len(photos.val.labels)  # fewer than FIT_ON
    needed = 50 + 2 * (1 + looked_at / len(photos.test.labels)) + SECONDS_AFTER
    assert lasts(needed + 0.1, taken=2, photos=photos) and not lasts(needed - 0.1, taken=2, photos=photos)
    assert lasts(None, taken=1e9, photos=photos)


def test_a_step_is_of_no_more_photos_than_there_are(photos: PackedPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "Answering", Instant)
    monkeypatch.setattr(reserve, "seconds_alive", lambda: 10.0)
    monkeypatch.setattr(reserve, "_reserve", lambda *_: (20.0, 5.0))
    settings = train_settings(Path(), Path(), time_budget=100.0, batch_size=4096)
    assert divided(settings, build("baseline", 2), photos, CPU).left == pytest.approx(70 - 100 * DRIFT)


def test_a_training_that_is_late_leaves_out_the_figures_of_mirror_images(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("catsdogs.train.stage.lasts", lambda *_: False)
    result = train(train_settings(data_dir, tmp_path, epochs=1))
    assert isinstance(result, TrainResult) and result.metrics.mirrored is None
    assert "mirrored" not in result.text() and "mirrored_left_out" in capsys.readouterr().err
    assert result.metrics.accuracy.count
