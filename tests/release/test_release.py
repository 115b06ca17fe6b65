"""A release on a cluster of plain processes: what ships, what does not, and what a client notices of it."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.champion.decision import decisions
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.release.lease import Busy
from catsdogs.release.result import ReleaseResult
from catsdogs.release.rollback import rollback
from catsdogs.release.stage import release
from catsdogs.release.watch import _replicas, watch
from catsdogs.settings.release import ReleaseSettings, RollbackSettings
from tests.job.test_hardship import forbidding
from tests.release.places import Place, client, place

pytestmark = pytest.mark.xdist_group("release")  # each starts processes by the half dozen


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as found:
        yield found


@pytest.fixture
def released(here: Place) -> Place:
    """With `good` in front of the users."""
    assert ship(here, "good").passed
    return here


def ship(here: Place, name: str, **options: Any) -> ReleaseResult:
    return release(ReleaseSettings(**here.asked(name, **options)))


def take_back(here: Place, **options: Any) -> ReleaseResult:
    return rollback(RollbackSettings(**here.common() | options))


def test_the_first_release_and_its_successor_lose_no_request(here: Place) -> None:
    here.replicas = 2
    first = ship(here, "good")
    assert first.passed and first.report is not None and first.report.champion is None
    assert here.champion() == "a" * 64 and list(here.public().replicas.values()) == [True, True]
    with client(first.public_address) as seen:
        second = ship(here, "better")
    assert second.passed and second.report is not None and second.report.paired is not None
    assert second.public_address == first.public_address
    assert here.champion() == "b" * 64
    assert len(seen.statuses) > 20 and set(seen.statuses) == {200} and all(seen.right)
    log = decisions(here.store)
    assert [each.action for each in log] == ["release", "release"]
    assert {each.evidence["gate"] for each in log} == {True} and log[0].evidence["photos"] == 120
    assert here.public().image == second.public_image != first.public_image
    assert not list((here.folder / "cluster").glob("candidate.pid"))


def test_a_worse_model_is_refused_and_nobody_notices(released: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = released.public()
    with client(before.address) as seen:
        assert main(["release", *released.command("flipped")]) == 1
    assert "The gate refused it: accuracy 0.0% of 120 photos is below --min-accuracy" in capsys.readouterr().out
    assert released.public() == before and released.champion() == "a" * 64
    assert set(seen.statuses) == {200} and all(seen.right)
    assert sorted(each.action for each in decisions(released.store)) == ["refused", "release"]


def test_without_the_gate_the_worse_model_would_reach_the_client(released: Place) -> None:
    """What the test above is worth: with the gate away, nothing else stops this model."""
    with client(released.public().address) as seen:
        result = ship(released, "flipped", gate=False)
    assert result.passed and "the gate refused it, but --no-gate was given" in result.steps
    assert set(seen.statuses) == {200} and not seen.right[-1] and seen.right[0]
    assert result.decision.evidence["gate"] is False and result.decision.evidence["passed"] is False


def test_an_image_that_does_not_start(released: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = released.public()
    assert main(["release", *released.command("broken", model_path=released.folder / "none.onnx")]) == 1
    printed = capsys.readouterr().out
    assert "does not start: its replica candidate ended" in printed
    assert "Golden photo 0 is answered" in printed  # the line of its log that tells
    assert released.public() == before


def test_what_fails_its_users_after_the_switch_is_restored(released: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that answers the smoke test but not its users. (Too slow a service: test_kubernetes.py.)"""
    before = released.public()
    good = watch

    async def spoilt(address: str, *rest: Any) -> Any:
        return await good(address + "/nowhere", *rest)

    monkeypatch.setattr("catsdogs.release.stage.watch", spoilt)
    with client(before.address) as seen:
        result = ship(released, "better", watch_seconds=2)
    assert not result.passed and result.decision.action == "restored"
    assert "The public service failed" in result.decision.reasons[0]
    assert released.public().image == before.image and released.champion() == "a" * 64
    assert set(seen.statuses) == {200} and all(seen.right)
    assert len(seen.statuses) > 20


def test_a_replica_that_ends_behind_the_proxy_is_restored(released: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client notices, because the proxy asks the other replica: only a look at each of them does."""
    before = released.public()
    good = watch

    async def one_ends(*arguments: Any) -> Any:
        first, _ = sorted((released.folder / "cluster").glob("public-*.pid"))
        os.kill(int(first.read_text().partition(":")[0]), signal.SIGKILL)
        return await good(*arguments)

    monkeypatch.setattr("catsdogs.release.watch.LOOK_SECONDS", 0.2)
    monkeypatch.setattr("catsdogs.release.stage.watch", one_ends)
    with client(before.address) as seen:
        result = ship(released, "better", watch_seconds=60, replicas=2)
    assert result.decision.action == "restored" and released.public().image == before.image
    assert re.fullmatch("A public replica failed while it was watched: public-[0-9]+-0 ended",
                        result.decision.reasons[0])
    assert set(seen.statuses) == {200}


def test_a_cluster_that_is_away_for_a_while_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the look at replicas does where kubectl fails; the last look must be answered."""
    monkeypatch.setattr("catsdogs.release.watch.LOOK_SECONDS", 0.01)

    class Away:
        answers = iter([CatsdogsError("no answer"), CatsdogsError("no answer"), [], ["a pod ended"], ["a pod ended"]])

        def ailing(self) -> list[str]:
            answer = next(self.answers)
            if isinstance(answer, CatsdogsError):
                raise answer
            return answer

    with pytest.raises(CatsdogsError, match="A public replica failed while it was watched: a pod ended"):
        asyncio.run(_replicas(Away()))  # type: ignore[arg-type]


def test_a_model_that_is_not_the_named_commits(released: Place) -> None:
    from catsdogs.stores.store import Content

    released.store.write("models/abc/model.pt", Content.of(b"another model"))
    result = ship(released, "better", commit="abc")
    assert not result.passed and "The image holds model bbbbbbbbbbbb" in result.decision.reasons[0]
    with pytest.raises(CatsdogsError, match="--commit xyz is no model of"):
        ship(released, "better", commit="xyz")


def test_rolling_back(
    released: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATSDOGS_SMOKE_TEST_MAX_LATENCY_MS", "0.001")  # slow answers are no reason to stay
    before = released.public().image
    with pytest.raises(CatsdogsError, match="There is nothing to go back to: .* is the first champion"):
        take_back(released)
    ship(released, "better")
    with client(released.public().address) as seen:
        result = take_back(released, why="complaints")
    assert result.passed and result.decision.action == "rollback"
    assert released.public().image == before and released.champion() == "a" * 64
    assert set(seen.statuses) == {200}
    flags = [word for key, value in released.common().items() for word in (f"--{key.replace('_', '-')}", str(value))]
    assert main(["rollback", *flags]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("catsdogs rollback: There is nothing to go back to: ") and "taken back already" in error


def test_nothing_was_ever_released(here: Place) -> None:
    with pytest.raises(CatsdogsError, match="There is nothing to go back to: .* has no champion"):
        take_back(here)


def test_a_rollback_to_an_image_that_no_longer_runs_stays_where_it_is(released: Place) -> None:
    before = released.public().image
    shipped = ship(released, "better")
    assert shipped.passed, shipped.text()
    now = released.public().image
    model = released.folder / "cluster" / "images" / before.rpartition(":")[2] / "model.onnx"
    model.write_bytes(b"damaged")
    result = take_back(released)
    assert not result.passed and result.decision.action == "restored" and "does not start" in result.text()
    assert released.public().image == now and all(released.public().replicas.values())
    assert released.champion() == "b" * 64


def test_a_promotion_by_hand_meanwhile_wins(released: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from catsdogs.release.promote import promote
    from catsdogs.settings.promotion import PromoteSettings

    watched = watch

    async def meanwhile(*arguments: Any) -> Any:
        promote(PromoteSettings(bucket=released.store.url, who="Bob", why="by hand", mlflow_tracking_uri="none",
                                model_path=released.models["flipped"]))
        return await watched(*arguments)

    monkeypatch.setattr("catsdogs.release.stage.watch", meanwhile)
    result = ship(released, "better")
    assert not result.passed and "Somebody promoted another model meanwhile" in result.decision.reasons[0]
    assert released.champion() == "c" * 64


def test_a_release_started_twice(released: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    good = watch

    async def second(*arguments: Any) -> Any:
        with pytest.raises(Busy) as caught:
            ship(released, "good")
        refused.append(str(caught.value))
        with pytest.raises(Busy) as caught:
            take_back(released)
        refused.append(str(caught.value))
        return await good(*arguments)

    monkeypatch.setattr("catsdogs.release.stage.watch", second)
    assert ship(released, "better").passed
    assert len(refused) == 2 and all(text.startswith("A release by Ada (") for text in refused)
    assert "is under way: wait for it; if it is dead, run this again after" in refused[0]


@pytest.mark.parametrize(("options", "words"), [
    ({"who": ""}, "--who is not given"), ({"image": ""}, "--image is not given"),
    ({"input_csv": Path("none.csv")}, "none.csv does not exist: write it with `catsdogs eval-batch`"),
    ({"image": "none.onnx"}, "--image none.onnx: none.onnx does not exist"),
    ({"image": "sha256:" + "0" * 64}, "holds no model"), ({"bucket": ""}, "No bucket is named")])
def test_wrong_calls(options: dict[str, Any], words: str, here: Place) -> None:
    with pytest.raises(UsageError, match=words):
        ship(here, "good", **options)
    assert not (here.folder / "cluster" / "state.json").exists()


def test_a_bucket_without_permission_leaves_the_cluster_alone(
    here: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with forbidding() as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        flags = ["--bucket", "gs://private", "--cluster", "process", "--cluster-dir", str(here.folder / "cluster"),
                 "--who", "Ada", "--why", "x"]
        for command in (["release", *here.command("good", bucket="gs://private")], ["rollback", *flags]):
            assert main(command) == 1
            error = capsys.readouterr().err.splitlines()[-1]
            assert error.startswith(f"catsdogs {command[0]}: No permission for GET"), error
    assert not (here.folder / "cluster/state.json").exists()


def test_json(here: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", *here.command("good"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is True and printed["decision"]["action"] == "release"
    assert printed["gate"]["challenger"]["accuracy"]["value"] == 1.0
