"""The job's chain against real object stores, with small real photos."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from catsdogs.champion.decision import Shipped, decide
from catsdogs.champion.move import Champion
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256_file
from catsdogs.job.raw import fetch_raw
from catsdogs.job.stage import JobResult, job
from catsdogs.settings.job import JobSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content, Store
from catsdogs.weights import load_weights
from tests.photos import jpeg, write_raw

FIRST = "first"


def upload(bucket: str, folder: Path) -> Store:
    store = open_store(BucketSettings(bucket=bucket))
    for path in sorted(folder.rglob("*.jpg")):
        store.write(f"datasets/cats-dogs/raw/{path.relative_to(folder).as_posix()}", Content.file(path))
    return store


def settings(bucket: str, folder: Path, **options: object) -> JobSettings:
    named = {"commit": FIRST, "image_size": 32, "model_variant": "baseline", "epochs": 1, "batch_size": 16,
             "force_cpu": True, "precision": "float32"} | options
    return JobSettings(bucket=bucket, work_dir=folder, **named)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Photos without meaning: what is tested is the chain, so the gate asks for nothing unless a test says so."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    for name, value in {"MIN_ACCURACY": "0", "MIN_SLICE_ACCURACY": "0", "MAX_CALIBRATION_ERROR": "1",
                        "MAX_LATENCY_MS": "10000", "MAX_LATENCY_RATIO": "1000", "MARGIN": "0.99"}.items():
        monkeypatch.setenv(f"CATSDOGS_GATE_{name}", value)
    monkeypatch.setenv("CATSDOGS_DOCTOR_MAX_ODD_SHARE", "1")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw", 40)


def test_from_the_bucket_to_the_bucket_and_the_second_commit_reuses_the_model(
    bucket: str, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = upload(bucket, raw)
    first = job(settings(bucket, tmp_path / "one", unpacked=True))
    assert first.passed and first.reused is None and "train" in first.steps
    keys = {entry.key for entry in store.entries("")}
    assert {f"models/{FIRST}/{name}" for name in ("model.pt", "model.onnx", "metrics.json")} <= keys
    assert {f"datasets/cats-dogs/{FIRST}/{stage}/manifest.json" for stage in ("ingested", "processed")} <= keys
    assert f"datasets/cats-dogs/{FIRST}/processed/splits.csv" in keys  # a plain file, for people
    assert not any(key.startswith("checkpoints/") for key in keys)
    record = json.loads(store.read(f"models/by-digest/{first.digest}.json"))
    assert record["commit"] == FIRST and record["model_digest"] == sha256_file(tmp_path / "one/models/model.pt")

    capsys.readouterr()
    second = job(settings(bucket, tmp_path / "two", commit="second"))
    assert second.passed and second.reused == FIRST and "train" not in second.steps
    assert store.read("models/second/model.pt") == store.read(f"models/{FIRST}/model.pt")
    assert f"of {FIRST}: its data, code and parameters are the same" in second.text()

    # another epoch is another model; so are other photos
    assert job(settings(bucket, tmp_path / "two", commit="third", epochs=2)).reused is None
    store.write("datasets/cats-dogs/raw/Cat/new.jpg", Content.of(jpeg(99_999)))
    assert job(settings(bucket, tmp_path / "two", commit="fourth")).reused is None


@pytest.fixture
def folder_job(raw: Path, tmp_path: Path) -> tuple[Store, JobResult, JobSettings]:
    store = upload(str(tmp_path / "bucket"), raw)
    options = settings(str(tmp_path / "bucket"), tmp_path / "one")
    return store, job(options), options


def test_the_same_job_again_changes_nothing(folder_job: tuple[Store, JobResult, JobSettings]) -> None:
    store, first, options = folder_job
    before = {entry.key: entry.size for entry in store.entries("") if "shards" not in entry.key}
    again = job(options)
    assert again.reused == FIRST and again.digest == first.digest
    assert {entry.key: entry.size for entry in store.entries("") if "shards" not in entry.key} == before


def test_a_job_that_lost_its_machine_after_the_record_and_before_the_model(
    folder_job: tuple[Store, JobResult, JobSettings], tmp_path: Path
) -> None:
    store, first, options = folder_job
    store.delete(f"datasets/cats-dogs/{FIRST}/models/manifest.json")
    shutil.rmtree(tmp_path / "one")
    again = job(options)
    assert again.reused is None and again.passed
    assert json.loads(store.read(f"models/by-digest/{again.digest}.json"))["model_digest"] == sha256_file(
        tmp_path / "one/models/model.pt")


def test_a_machine_that_is_lost_between_training_and_pushing_costs_no_step(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = upload(str(tmp_path / "bucket"), raw)
    one, two = (settings(str(tmp_path / "bucket"), tmp_path / name) for name in ("one", "two"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("catsdogs.job.stage._Job.publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        job(one)
    made = load_weights(one.work_dir / "models/model.pt")[0].state_dict()
    shutil.rmtree(one.work_dir)
    monkeypatch.setattr("catsdogs.train.loop.step_on", lambda *_, **__: pytest.fail("a step"))
    again = job(two)
    assert again.passed and again.reused is None and '"resumed"' in capsys.readouterr().err
    same = load_weights(two.work_dir / "models/model.pt")[0].state_dict()
    assert all(torch.equal(made[name], same[name]) for name in made)
    assert not [entry.key for entry in store.entries("") if entry.key.startswith("checkpoints/")]
    assert not list((two.work_dir / "artifacts/training").glob("checkpoint*"))


def test_a_record_of_another_model_is_not_believed(
    folder_job: tuple[Store, JobResult, JobSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, first, options = folder_job
    key = f"models/by-digest/{first.digest}.json"
    record = json.loads(store.read(key)) | {"model_digest": "0" * 64}
    store.write(key, Content.of(json.dumps(record).encode()))
    again = job(options.model_copy(update={"commit": "second", "work_dir": tmp_path / "two"}))
    assert again.reused is None and "record_ignored" in capsys.readouterr().err


def test_the_gate_says_no(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                          capsys: pytest.CaptureFixture[str]) -> None:
    from catsdogs.cli import main

    monkeypatch.setenv("CATSDOGS_GATE_MIN_ACCURACY", "1")
    store = upload(str(tmp_path / "bucket"), raw)
    status = main(["job", "--bucket", str(tmp_path / "bucket"), "--work-dir", str(tmp_path / "job"), "--commit", FIRST,
                   "--image-size", "32", "--model-variant", "baseline", "--epochs", "1", "--force-cpu"])
    assert status == 1
    assert "gate         FAILED: nothing is promoted" in capsys.readouterr().out
    assert json.loads((tmp_path / "job/artifacts/gate.json").read_text())["passed"] is False
    assert not [entry for entry in store.entries("models/champion")]


def name_champion(store: Store, commit: str | None, digest: str | None) -> None:
    model = Shipped(commit=commit, model_digest=digest, image=None)
    decision = decide("promote", who="test", why="test", before=None, after=model)
    store.write("models/champion.json", Content.of(Champion(model=model, decision=decision).model_dump_json().encode()))


def test_the_champion_of_the_bucket_is_what_the_gate_compares_with(
    folder_job: tuple[Store, JobResult, JobSettings], tmp_path: Path
) -> None:
    store, first, options = folder_job
    assert first.steps["gate"]["champion"] is None
    again = options.model_copy(update={"commit": "second", "work_dir": tmp_path / "two"})
    name_champion(store, FIRST, sha256_file(tmp_path / "one/models/model.pt"))
    second = job(again)
    assert second.steps["gate"]["champion"] is not None and second.passed
    for commit, digest, words in ((FIRST, "0" * 64, "another model than the champion"), ("gone", None, "no models of"),
                                  (None, None, "names no commit")):
        name_champion(store, commit, digest)
        with pytest.raises(CatsdogsError, match=words):
            job(again)


def test_doctor_stops_the_job_unless_it_only_warns(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CATSDOGS_DOCTOR_MIN_PER_CLASS", "1000")
    upload(str(tmp_path / "bucket"), raw)
    options = settings(str(tmp_path / "bucket"), tmp_path / "one")
    with pytest.raises(CatsdogsError, match="--doctor-warns"):
        job(options)
    assert (tmp_path / "one/artifacts/data/report.html").exists()
    assert job(options.model_copy(update={"doctor_warns": True})).passed
    assert "doctor_warned" in capsys.readouterr().err


def test_a_process_beside_the_first_pushes_nothing(raw: Path, tmp_path: Path) -> None:
    store = upload(str(tmp_path / "bucket"), raw)
    helper = job(settings(str(tmp_path / "bucket"), tmp_path / "one", rank=1))
    assert helper.passed and "helped" in helper.text() and "gate" not in helper.steps
    assert {entry.key.split("/")[0] for entry in store.entries("")} == {"datasets"}
    assert not [entry for entry in store.entries("datasets/") if "/raw/" not in entry.key]


def test_raw_photos_of_a_version_and_an_empty_bucket(raw: Path, tmp_path: Path) -> None:
    from catsdogs.settings.versions import PushSettings
    from catsdogs.versions.push import push

    bucket = str(tmp_path / "bucket")
    options = settings(bucket, tmp_path / "one")
    with pytest.raises(CatsdogsError, match="holds no photos"):
        job(options)
    push(PushSettings(bucket=bucket, data_dir=tmp_path, stage=["raw"], commit=FIRST, cache_dir=tmp_path / "cache"))
    folder = fetch_raw(options, open_store(options), FIRST, tmp_path / "there")
    assert sorted(path.name for path in folder.rglob("*.jpg")) == sorted(path.name for path in raw.rglob("*.jpg"))
    older = settings(bucket, tmp_path / "one", commit="later", raw_commit=FIRST)
    assert fetch_raw(older, open_store(older), "later", tmp_path / "elsewhere").is_dir()


def test_plain_photos_follow_the_bucket(raw: Path, tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    store, options = upload(bucket, raw), settings(bucket, tmp_path / "one")
    folder = fetch_raw(options, store, FIRST, tmp_path / "there")
    store.delete("datasets/cats-dogs/raw/Cat/0.jpg")
    (folder / "Dog/0.jpg").write_bytes(b"cut short")
    fetch_raw(options, store, FIRST, tmp_path / "there")
    assert not (folder / "Cat/0.jpg").exists()
    assert (folder / "Dog/0.jpg").read_bytes() == (raw / "Dog/0.jpg").read_bytes()


def test_an_object_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    class Sly:
        url = "gs://sly"

        def entries(self, prefix: str) -> list[object]:
            from catsdogs.stores.store import Entry
            return [Entry(f"{prefix}../../outside.jpg", 3, 0.0)]

        def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            from catsdogs.stores.store import Missing
            raise Missing(key)

    with pytest.raises(UsageError, match="leads out of its folder"):
        fetch_raw(settings("gs://sly", tmp_path), Sly(), FIRST, tmp_path / "data")  # type: ignore[arg-type]


def test_the_digest_knows_code_and_parameters(folder_job: tuple[Store, JobResult, JobSettings],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    from catsdogs.job.record import digest_of_training

    _, first, options = folder_job
    processed = options.work_dir / "data/processed"
    assert digest_of_training(options, processed) == first.digest
    changes = {"learning_rate": 0.5, "epochs": 9, "batch_size": 8, "model_variant": "fast", "seed": 1,
               "time_budget": 1.0, "precision": "bfloat16"}
    digests = {digest_of_training(options.model_copy(update={name: value}), processed)
               for name, value in changes.items()}
    monkeypatch.setattr("catsdogs.job.record.code_digest", lambda: "another")
    assert len(digests | {first.digest, digest_of_training(options, processed)}) == len(changes) + 2
