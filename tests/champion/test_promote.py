"""Who is the champion: promoted by hand, taken back, by several at once, and with or without MLflow."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from catsdogs.artifacts import read_splits
from catsdogs.champion.decision import Shipped, decide, decisions
from catsdogs.champion.move import KEY, Champion, champion, move
from catsdogs.champion.registry import mirror
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.guarded import Guarded
from catsdogs.release.promote import PromoteResult, promote
from catsdogs.settings.promotion import PromoteSettings, RegistrySettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Store
from tests.gate.processed import model

A, B = "a" * 40, "b" * 40


@pytest.fixture
def store(strict_bucket: str) -> Store:
    store = open_store(BucketSettings(bucket=strict_bucket))
    for commit in (A, B):
        store.write(f"models/{commit}/model.pt", Content.of(f"weights of {commit}".encode()))
    return store


def asked(store: Store, **options: Any) -> PromoteSettings:
    named = {"who": "Ada", "why": "it is better", "mlflow_tracking_uri": "none"} | options
    return PromoteSettings(bucket=store.url, **named)


def said(store: Store, **options: Any) -> PromoteResult:
    return promote(asked(store, **options))


def standing(store: Store) -> str | None:
    value = champion(store).value
    return value.model.commit if value and value.model else None


def test_promoting_and_undoing(store: Store) -> None:
    first = said(store, commit=A)
    assert "the first one" in first.text() and standing(store) == A
    assert said(store, commit="bbbb", image="registry/api@sha256:1").data()["changed"] is True
    seen = champion(store).value
    assert seen is not None and seen.model is not None
    assert seen.model.model_digest == hashlib.sha256(f"weights of {B}".encode()).hexdigest()
    assert seen.decision.before is not None and seen.decision.before.commit == A
    assert said(store, undo=True, why="it was not").data()["changed"] is True
    assert standing(store) == A
    log = decisions(store)
    assert sorted(each.action for each in log) == ["promote", "promote", "undo"]
    assert {each.who for each in log} == {"Ada"} and "it was not" in {each.why for each in log}


def test_a_second_time_changes_nothing(store: Store) -> None:
    said(store, commit=A, image="registry/api@sha256:1")
    before = store.current(KEY)
    for again in (asked(store, commit=A), asked(store, commit=A, image="registry/api@sha256:1")):
        result = promote(again)
        assert result.data()["changed"] is False and "unchanged" in result.text()
    said(store, commit=B)
    said(store, undo=True)
    assert said(store, undo=True).data() == {"changed": False, "decision": None}
    assert standing(store) == A and before[0] != store.current(KEY)[0]
    assert len(decisions(store)) == 3


def test_the_first_promotion_can_be_taken_back(store: Store) -> None:
    with pytest.raises(CatsdogsError, match="has no champion: there is nothing to undo"):
        said(store, undo=True)
    said(store, commit=A)
    assert "none: the first promotion was taken back" in said(store, undo=True).text()
    assert standing(store) is None
    assert said(store, commit=A).data()["changed"] is True


def test_of_two_at_once_exactly_one_wins_and_the_other_says_so(store: Store) -> None:
    said(store, commit=A)
    seen = champion(store)

    def attempt(number: int) -> str:
        settings = RegistrySettings(bucket=store.url, who=f"P{number}", why="now", mlflow_tracking_uri="none")
        try:
            return move(store, settings, seen, Shipped(commit=B, model_digest=str(number), image=None),
                        "promote").decision.who
        except CatsdogsError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        said_all = list(pool.map(attempt, range(8)))
    (winner,) = [text for text in said_all if text.startswith("P") and len(text) == 2]
    assert all(text.startswith(f"{winner} was faster: promote of model") for text in said_all if text != winner)
    now = champion(store).value
    assert now is not None and now.decision.who == winner
    assert len(decisions(store)) == 2  # what lost leaves no line


def test_a_kill_between_the_champion_and_its_line_of_the_log_loses_nothing(store: Store) -> None:
    decision = decide("promote", who="Ada", why="killed", before=None,
                      after=Shipped(commit=A, model_digest="a", image=None))
    Guarded(store, KEY, Champion).put(Champion(model=decision.after, decision=decision), champion(store))
    assert decisions(store) == []
    said(store, commit=B)
    assert [each.why for each in sorted(decisions(store), key=lambda each: each.action)
            if each.id == decision.id] == ["killed"]


@pytest.mark.parametrize(("options", "words"), [
    ({"commit": A, "who": " "}, "--who is not given"), ({"commit": A, "why": ""}, "--why is not given"),
    ({}, "either --commit or --model-path"), ({"commit": A, "undo": True}, "--undo takes back the last promotion")])
def test_wrong_calls(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        said(open_store(BucketSettings(bucket=str(tmp_path))), **options)


def test_commits_that_are_none_or_several(tmp_path: Path) -> None:
    store = open_store(BucketSettings(bucket=str(tmp_path)))
    for commit in ("abc1", "abc2"):
        store.write(f"models/{commit}/metrics.json", Content.of(b"{}"))
    for name, words in (("abc", "names several models"), ("x", "is no model of"), ("abc1", "holds no model.pt")):
        with pytest.raises(CatsdogsError, match=words):
            said(store, commit=name)


def test_evidence_must_be_about_this_model_and_in_its_favour(tmp_path: Path) -> None:
    from catsdogs.gate.stage import gate
    from catsdogs.settings.gate import GateSettings
    from tests.gate.processed import processed_photos

    data, good = processed_photos(tmp_path, per_class=40), model(tmp_path / "good")
    other = model(tmp_path / "other", model_digest="b" * 64)
    store = open_store(BucketSettings(bucket=str(tmp_path / "bucket")))
    report = tmp_path / "gate.json"
    gate(GateSettings(challenger=good, data_dir=data, output_json=report, max_calibration_error=1))
    with pytest.raises(CatsdogsError, match="judges model .* run `catsdogs gate` on this one"):
        said(store, model_path=other, evidence=report)
    moved = said(store, model_path=good, evidence=report).moved
    assert moved is not None and moved.decision.evidence["passed"] is True
    assert moved.decision.evidence["photos"] == sum(row.split == "test" for row in read_splits(data))
    # Another champion since: what was compared with none, or with the one before, says nothing about it.
    said(store, model_path=other)
    with pytest.raises(CatsdogsError, match="compares with no champion, but the champion is bbbbbbbbbbbb"):
        said(store, model_path=good, evidence=report)
    gate(GateSettings(challenger=good, champion=other, data_dir=data, output_json=report, max_calibration_error=1,
                      margin=0.99, max_latency_ratio=100))
    said(store, model_path=good, evidence=report)
    assert said(store, model_path=good, evidence=report).data()["changed"] is False
    gate(GateSettings(challenger=good, data_dir=data, output_json=report, max_calibration_error=0))
    with pytest.raises(CatsdogsError, match="refused this model .*confidence is off by"):
        said(store, model_path=good, evidence=report)


def test_a_damaged_champion_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / KEY).write_text('{"model": 3}')
    assert main(["promote", "--bucket", str(tmp_path), "--commit", A, "--who", "x", "--why", "y"]) == 1
    assert "champion.json is damaged (model:" in capsys.readouterr().err


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    code = f"import mlflow; mlflow.MlflowClient({uri!r}, {uri!r}).search_experiments()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return uri


@pytest.fixture
def in_bucket(tmp_path: Path) -> Iterator[Store]:
    store = open_store(BucketSettings(bucket=str(tmp_path / "bucket")))
    for commit in (A, B):
        store.write(f"models/{commit}/model.pt", Content.of(commit.encode()))
    yield store


@pytest.mark.filterwarnings("ignore")  # MLflow's own, in the client of this test
def test_mlflows_alias_follows(in_bucket: Store, database: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(database, database)

    def alias() -> str | None:
        version = client.get_registered_model("cats-dogs").aliases.get("champion")
        return client.get_model_version("cats-dogs", version).tags["commit"] if version else None

    assert said(in_bucket, commit=A, mlflow_tracking_uri=database).data()["mirrored"] is True
    assert alias() == A
    said(in_bucket, commit=B, mlflow_tracking_uri=database)
    assert alias() == B
    said(in_bucket, undo=True, mlflow_tracking_uri=database, why="no good")
    assert alias() == A
    candidate = Shipped(commit=B, model_digest=hashlib.sha256(B.encode()).hexdigest(), image=None)
    for named in (candidate, None):  # as a release does while it tries one
        assert mirror(asked(in_bucket, mlflow_tracking_uri=database), "challenger", named, None, in_bucket.url)
        assert ("challenger" in client.get_registered_model("cats-dogs").aliases) is (named is not None)
    assert len(client.search_model_versions("name='cats-dogs'")) == 2  # none twice
    tags = client.get_registered_model("cats-dogs").tags
    assert sum(name.startswith("decision-") for name in tags) == 3
    assert any("no good" in text for text in tags.values())


def test_without_mlflow_the_champion_moves_all_the_same_and_it_is_said_once(
    in_bucket: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    result = said(in_bucket, commit=A, mlflow_tracking_uri="http://ada:secret@127.0.0.1:9")
    assert standing(in_bucket) == A and "mlflow       was not told" in result.text()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["not_mirrored"]
    assert "Connection refused" in lines[0]["because"] and "secret" not in lines[0]["because"]
