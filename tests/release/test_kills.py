"""Killed half-way: whoever comes next finds the record, and undoes or completes what was begun."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.champion.decision import Shipped, decisions
from catsdogs.champion.move import champion
from catsdogs.clusters.cluster import Cluster
from catsdogs.errors import CatsdogsError
from catsdogs.guarded import Guarded
from catsdogs.release.lease import Busy, Lease, Lost, held, unfinished
from catsdogs.release.place import opened
from catsdogs.release.record import KEY, Phase, Record, new_record
from catsdogs.release.promote import promote
from catsdogs.release.recover import standing_id
from catsdogs.release.rollback import rollback
from catsdogs.release.stage import release
from catsdogs.settings.promotion import PromoteSettings
from catsdogs.settings.release import PlaceSettings, ReleaseSettings, RollbackSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from tests.release.places import Place, client, place
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("release")


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as here:
        assert release(ReleaseSettings(**here.asked("good"))).passed
        yield here


def started(here: Place, said_last: str, **options: Any) -> subprocess.Popen[str]:
    """`catsdogs release` of `better` in a process of its own, once it has said `said_last`."""
    process = subprocess.Popen([sys.executable, "-m", "catsdogs", "release", *here.command("better", **options)],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if said_last in line:
            return process
    raise AssertionError(f"it ended before it said {said_last!r}: {process.communicate()[0]}{''.join(said)}")


def wait_for_expiry(here: Place) -> None:
    record = Guarded(here.store, KEY, Record).read().value
    assert record is not None
    time.sleep(max(0.0, record.expires - time.time()) + 0.05)


def test_killed_while_it_watched_the_next_release_restores_first(released: Place) -> None:
    before = released.public()
    with client(before.address) as seen:
        process = started(released, "all public replicas run it", watch_seconds=60, lease_seconds=3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert released.public().image != before.image
        with pytest.raises(Busy, match="is under way: wait for it; if it is dead, run this again after"):
            rollback(RollbackSettings(**released.common()))
        wait_for_expiry(released)
        again = release(ReleaseSettings(**released.asked("better")))
    assert again.passed and again.recovered is not None and "died in the phase public" in again.recovered
    assert [each.action for each in sorted(decisions(released.store), key=lambda each: each.key)][:1] == ["release"]
    assert sorted(each.action for each in decisions(released.store)) == ["release", "release", "restored"]
    assert again.decision.before is not None and again.decision.before.image == before.image
    assert set(seen.statuses) == {200} and all(seen.right)


def test_killed_while_it_watched_a_rollback_restores(released: Place) -> None:
    before = released.public()
    process = started(released, "all public replicas run it", watch_seconds=60, lease_seconds=3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for_expiry(released)
    result = rollback(RollbackSettings(**released.common()))
    assert result.passed and result.decision.action == "restored"
    assert released.public() == before or released.public().image == before.image
    assert all(released.public().replicas.values()) and released.champion() == "a" * 64


def test_killed_while_it_tried_the_candidate_nothing_public_had_changed(released: Place) -> None:
    before = released.public()
    process = started(released, "the candidate", lease_seconds=2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert released.public() == before
    wait_for_expiry(released)
    result = rollback(RollbackSettings(**released.common()))
    assert result.passed and result.decision.action == "abandoned" and released.public() == before
    assert not list((released.folder / "cluster").glob("candidate.pid"))


def test_a_terminated_release_undoes_itself(released: Place) -> None:
    before = released.public()
    process = started(released, "all public replicas run it", watch_seconds=60)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate()
    assert process.returncode == 130 and "interrupted" in error
    assert released.public().image == before.image and all(released.public().replicas.values())
    assert unfinished(released.store).value is None  # the next one need not wait
    assert "restored" in {each.action for each in decisions(released.store)}


def left_behind(here: Place, phase: Phase, kind: str = "release", **changes: Any) -> Record:
    """What a process that was killed in this phase leaves in the bucket."""
    where = {name: here.common()[name] for name in ("cluster", "cluster_dir", "port", "replicas")}
    with opened(PlaceSettings(**where)) as cluster:
        return _left_behind(here, cluster, phase, kind, changes)


def _left_behind(here: Place, cluster: Cluster, phase: Phase, kind: str, changes: dict[str, Any]) -> Record:
    record = new_record("release", who="Zoe", why="killed", cluster=cluster.name, seconds=-1,
                        image=cluster.pinned(str(here.models["better"])), previous_image=cluster.current_image(),
                        champion=standing_id(here.store), model=None)
    record = record.model_copy(update={
        "phase": phase, "kind": kind, "model": Shipped(commit=None, model_digest="b" * 64, image=record.image),
    } | changes)
    Guarded(here.store, KEY, Record).put(record, Guarded(here.store, KEY, Record).read())
    if phase == "passed":
        cluster.set_image(record.image)
        cluster.wait_rolled_out(60)
    return record


def test_killed_just_before_it_moved_the_champion_it_is_completed(released: Place) -> None:
    record = left_behind(released, "passed")
    result = release(ReleaseSettings(**released.asked("better")))
    assert result.recovered is not None and result.recovered.startswith("release of model bbbbbbbbbbbb")
    assert released.champion() == "b" * 64 and result.public_image == record.image
    seen = champion(released.store).value
    assert seen is not None and seen.decision.who == "Zoe"  # who decided, not who found it


def test_killed_just_before_it_moved_a_champion_that_moved_on_it_is_restored(released: Place) -> None:
    before = released.public().image
    left_behind(released, "passed", champion="another")
    assert rollback(RollbackSettings(**released.common())).decision.action == "restored"
    assert released.public().image == before and released.champion() == "a" * 64


def test_a_killed_rollback_is_completed(released: Place) -> None:
    release(ReleaseSettings(**released.asked("better")))
    standing = champion(released.store).value
    assert standing is not None and standing.decision.before is not None
    left_behind(released, "public", "rollback", image=standing.decision.before.image, model=standing.decision.before)
    result = rollback(RollbackSettings(**released.common()))
    assert result.passed and result.decision.action == "rollback" and released.champion() == "a" * 64


def test_a_champion_that_moved_while_the_lease_was_taken_is_not_rolled_back(
    released: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(ReleaseSettings(**released.asked("better")))
    before = released.public()

    def meanwhile(*words: Any, **named: Any) -> Record:
        promote(PromoteSettings(bucket=released.store.url, who="Bob", why="by hand", mlflow_tracking_uri="none",
                                model_path=released.models["flipped"]))
        return new_record(*words, **named)

    monkeypatch.setattr("catsdogs.release.rollback.new_record", meanwhile)
    with pytest.raises(CatsdogsError, match="The champion changed just now"):
        rollback(RollbackSettings(**released.common()))
    assert released.public() == before and released.champion() == "c" * 64
    assert unfinished(released.store).value is None


def test_a_bug_of_ours_undoes_the_release_and_keeps_its_traceback(
    released: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = released.public().image

    async def wrong(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("catsdogs.release.stage.watch", wrong)
    with pytest.raises(ZeroDivisionError):
        release(ReleaseSettings(**released.asked("better")))
    assert released.public().image == before and released.champion() == "a" * 64
    assert unfinished(released.store).value is None


def test_what_died_on_another_cluster_is_not_touched(released: Place) -> None:
    left_behind(released, "public", cluster="Deployment elsewhere")
    with pytest.raises(CatsdogsError, match="died on the Deployment elsewhere: run this with the settings"):
        rollback(RollbackSettings(**released.common()))


def a_record(seconds: float) -> Record:
    return new_record("release", who="Ada", why="x", cluster="c", seconds=seconds, image="i", previous_image=None)


def test_a_lease_is_renewed_and_kept_from_others(strict_bucket: str) -> None:
    store = open_store(BucketSettings(bucket=strict_bucket))
    taken = a_record(6)
    with held(store, taken, unfinished(store), 6) as lease:  # renewed after 2 s: a busy machine may take 4 more
        until(lambda: lease.record.expires > taken.expires)
        lease.look()
        with pytest.raises(Busy):
            unfinished(store)
        lease.advance("done")
    assert unfinished(store).value is None


def test_who_lost_the_lease_stops(tmp_path: Path) -> None:
    store = open_store(BucketSettings(bucket=str(tmp_path)))
    seen = unfinished(store)
    with held(store, a_record(60), seen, 60) as lease:
        guarded = Guarded(store, KEY, Record)
        guarded.put(lease.record.model_copy(update={"host": "another:1", "beat": 99}), guarded.read())
        with pytest.raises(Lost, match="somebody else took it"):
            lease.advance("public")
        with pytest.raises(Lost):
            lease.look()
    expired = Lease(store, a_record(-1), 60)
    with pytest.raises(Lost, match="could not be renewed"):
        expired.look()


def test_of_two_who_take_it_at_once_one_gets_it(strict_bucket: str) -> None:
    store = open_store(BucketSettings(bucket=strict_bucket))
    seen = unfinished(store)
    with held(store, a_record(60), seen, 60), pytest.raises(Busy, match="is under way"), \
            held(store, a_record(60), seen, 60):
        pass


def test_the_record_says_what_was_before(released: Place) -> None:
    record = json.loads((released.folder / "bucket" / KEY).read_text())
    assert record["phase"] == "done" and record["previous_image"] is None and record["kind"] == "release"
