"""The scripts that speak to the bucket and to the service, with a real folder as bucket and a real server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.artifacts import EvalRow, write_eval_batch
from catsdogs.champion.decision import Shipped
from catsdogs.champion.move import champion, move
from catsdogs.files import sha256
from catsdogs.images import encode
from catsdogs.settings.promotion import RegistrySettings
from catsdogs.settings.versions import BucketSettings, PushSettings
from catsdogs.storage import open_store
from catsdogs.versions.push import push
from tests.models import CLASSES, colour_photo
from tests.photos import jpeg, write
from tests.servers import ROOT, service


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.folder, self.bucket = folder / "checkout", folder / "bucket"
        shutil.copytree(ROOT / "scripts/pipeline", self.folder / "scripts/pipeline")
        shutil.copy(ROOT / "params.yaml", self.folder)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"PATH": path, "BUCKET": str(self.bucket)} | environment
        return subprocess.run([str(self.folder / "scripts/pipeline" / script)], cwd=self.folder, text=True,
                              env=os.environ | given, capture_output=True, timeout=200)

    def crown(self, model: Shipped | None) -> None:
        store = open_store(BucketSettings(bucket=str(self.bucket)))
        said = RegistrySettings(bucket=str(self.bucket), who="test", why="test", mlflow_tracking_uri="none")
        move(store, said, champion(store), model, "promote")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def pushed(checkout: Checkout, model_path: Path, tmp_path: Path) -> Checkout:
    """A bucket with the models of two commits, of which only `one` is a model."""
    for commit in ("one", "two"):
        models = tmp_path / commit
        models.mkdir()
        for name in ("model.pt", "model.onnx"):
            shutil.copy(model_path.with_name(name), models)
        metrics = write(models / "metrics.json", json.dumps({"commit": commit}).encode())
        push(PushSettings(bucket=str(checkout.bucket), commit=commit, stage=["models"], models_dir=models,
                          metrics=metrics, cache_dir=tmp_path / "cache", allow_dirty=True))
    return checkout


def test_the_model_of_the_commit_is_fetched_and_no_other(pushed: Checkout) -> None:
    answer = pushed.run("fetch_model.sh", COMMIT="one")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "commit=one"
    assert json.loads((pushed.folder / "artifacts/training/metrics.json").read_text()) == {"commit": "one"}
    assert pushed.run("fetch_model.sh", COMMIT="three").returncode == 1


def test_the_champion_is_fetched_where_it_is_asked_for_by_name(pushed: Checkout) -> None:
    refused = pushed.run("fetch_model.sh", COMMIT="one", ACTION="champion")
    assert refused.returncode == 1 and "names no champion" in refused.stderr
    pushed.crown(Shipped(commit="two", model_digest=None, image=None))
    answer = pushed.run("fetch_model.sh", COMMIT="one", ACTION="champion")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "commit=two"
    pushed.crown(None)
    assert pushed.run("fetch_model.sh", COMMIT="one", ACTION="champion").returncode == 1


def _batch(folder: Path, rows: int = 3) -> list[EvalRow]:
    found = []
    for number in range(rows):
        data = jpeg(number)
        write(folder / f"eval_batch/{number}.jpg", data)
        found.append(EvalRow(path=f"eval_batch/{number}.jpg", label="cat", digest=sha256(data)))
    write_eval_batch(folder / "eval_batch.csv", found)
    return found


def test_the_evaluation_batch_comes_out_of_its_folder(checkout: Checkout, tmp_path: Path) -> None:
    rows = _batch(tmp_path / "kept")
    for address in (tmp_path / "kept", tmp_path / "kept/eval_batch.csv"):
        answer = checkout.run("eval_batch.sh", EVAL_BATCH_GCS_URI=str(address), COMMIT="one")
        assert answer.returncode == 0, answer.stderr
        for row in rows:
            assert sha256((checkout.folder / "artifacts" / row.path).read_bytes()) == row.digest


def test_a_batch_with_another_photo_or_a_way_out_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    rows = _batch(tmp_path / "kept")
    write(tmp_path / "kept/eval_batch/1.jpg", jpeg(99))
    answer = checkout.run("eval_batch.sh", EVAL_BATCH_GCS_URI=str(tmp_path / "kept"), COMMIT="one")
    assert answer.returncode == 1 and "is not the photo" in answer.stderr
    assert not (checkout.folder / "artifacts/eval_batch.csv").exists()
    write_eval_batch(tmp_path / "kept/eval_batch.csv", [EvalRow(path="../x.jpg", label="cat", digest=rows[0].digest)])
    answer = checkout.run("eval_batch.sh", EVAL_BATCH_GCS_URI=str(tmp_path / "kept"), COMMIT="one")
    assert answer.returncode == 1 and "leads out of its folder" in answer.stderr
    assert checkout.run("eval_batch.sh", EVAL_BATCH_GCS_URI=str(tmp_path / "nowhere"), COMMIT="one").returncode == 1


def test_without_a_batch_it_is_made_from_the_commits_test_split(
    checkout: Checkout, data_dir: Path, tmp_path: Path
) -> None:
    push(PushSettings(bucket=str(checkout.bucket), commit="one", stage=["ingested", "processed"],
                      data_dir=data_dir.parent, cache_dir=tmp_path / "cache", allow_dirty=True))
    answer = checkout.run("eval_batch.sh", COMMIT="one", EVAL_BATCH_GCS_URI="")
    assert answer.returncode == 0, answer.stderr
    assert (checkout.folder / "artifacts/eval_batch.csv").read_text().count("\n") > 3


def test_the_public_service_is_evaluated_against_the_floor(checkout: Checkout, model_path: Path) -> None:
    rows = []
    for number in range(8):
        data = encode(colour_photo(number % 2, 5000 + number))
        write(checkout.folder / f"artifacts/eval_batch/{number}.png", data)
        rows.append(EvalRow(path=f"eval_batch/{number}.png", label=CLASSES[number % 2], digest=sha256(data)))
    write_eval_batch(checkout.folder / "artifacts/eval_batch.csv", rows)
    with service(model_path) as address:
        answer = checkout.run("evaluate.sh", BASE_URL=address)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        report = json.loads((checkout.folder / "artifacts/post_deploy_eval.json").read_text())
        assert report["passed"] and report["min_accuracy"] == 0.7
        wrong = [EvalRow(path=row.path, label={"cat": "dog", "dog": "cat"}[row.label], digest=row.digest)
                 for row in rows]
        write_eval_batch(checkout.folder / "artifacts/eval_batch.csv", wrong)
        answer = checkout.run("evaluate.sh", BASE_URL=address)
        assert answer.returncode == 1 and "FAILED" in answer.stdout
