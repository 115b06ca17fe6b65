import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.artifacts import EvalRow, SplitRow, read_eval_batch, write_eval_batch, write_splits
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.evaluate.batch import eval_batch
from catsdogs.evaluate.post_deploy import post_deploy_eval
from catsdogs.files import sha256
from catsdogs.images import encode
from catsdogs.settings.serving import EvalBatchSettings, PostDeployEvalSettings
from tests.evaluate.test_smoke import answering
from tests.models import CLASSES, colour_photo
from tests.photos import write
from tests.servers import free_port, service


@pytest.fixture(scope="module")
def address(model_path: Path) -> Iterator[str]:
    with service(model_path) as address:
        yield address


@pytest.fixture
def processed(tmp_path: Path) -> Path:
    """Twelve test photos and as many training photos; every third dog is labelled a cat."""
    rows = []
    for number in range(24):
        data = encode(colour_photo(number % 2, 700 + number))
        digest = sha256(data)
        label = CLASSES[number % 2] if number % 3 or number % 2 == 0 else "cat"
        write(tmp_path / "ingested" / label / f"{digest}.png", data)
        rows.append(SplitRow(digest=digest, split="test" if number < 12 else "train", label=label, group=digest,
                             path="x", original=f"../ingested/{label}/{digest}.png"))
    (tmp_path / "processed").mkdir()
    write_splits(tmp_path / "processed", rows)
    return tmp_path / "processed"


def batch(processed: Path, per_class: int = 100, seed: int = 42) -> Path:
    csv = processed.parent / "artifacts" / "eval.csv"
    eval_batch(EvalBatchSettings(processed_dir=processed, output_csv=csv, per_class=per_class, seed=seed))
    return csv


def judge(address: str, csv: Path, **options: object) -> object:
    named = {"base_url": address, "input_csv": csv, "output_json": csv.with_name("report.json"),
             "wait_seconds": 0.5} | options
    return post_deploy_eval(PostDeployEvalSettings(**named)).evaluation  # type: ignore[arg-type]


def test_a_batch_is_the_original_photos_of_the_test_split(processed: Path) -> None:
    csv = batch(processed)
    rows = read_eval_batch(csv)
    assert len(rows) == 12
    for row in rows:
        assert sha256((csv.parent / row.path).read_bytes()) == row.digest
        assert Path(row.path).name.startswith(row.label)


def test_a_batch_is_stable_and_leaves_no_stale_photo(processed: Path) -> None:
    few = {row.digest for row in read_eval_batch(batch(processed, per_class=2))}
    csv = batch(processed, per_class=3)
    more = {row.digest for row in read_eval_batch(csv)}
    assert len(few) == 4 and len(more) == 6 and few < more
    assert {row.digest for row in read_eval_batch(batch(processed, per_class=3, seed=1))} != more
    assert len(list(csv.with_suffix("").glob("*.png"))) == 6


def test_a_batch_refuses_what_it_cannot_trust(processed: Path) -> None:
    first = next((processed.parent / "ingested").rglob("*.png"))
    for photo in (processed.parent / "ingested").rglob("*.png"):
        photo.write_bytes(photo.read_bytes() + b"x")
    with pytest.raises(CatsdogsError, match="has changed"):
        batch(processed)
    for photo in (processed.parent / "ingested").rglob("*.png"):
        photo.unlink()
    with pytest.raises(CatsdogsError, match="is missing"):
        batch(processed)
    assert not first.exists() and not (processed.parent / "artifacts" / "eval.csv").exists()


def test_a_batch_leaves_foreign_files_alone(processed: Path) -> None:
    theirs = write(processed.parent / "artifacts" / "eval" / "thesis.txt", b"years")
    with pytest.raises(UsageError, match="thesis.txt"):
        batch(processed)
    assert theirs.exists()
    with pytest.raises(UsageError, match="must end in .csv"):
        eval_batch(EvalBatchSettings(processed_dir=processed, output_csv=processed / "batch.txt"))


def test_answers_are_counted_and_judged(address: str, processed: Path) -> None:
    report = judge(address, batch(processed))
    assert report.passed and report.answered == report.photos == 12 and report.errors == {}
    assert report.accuracy.value == pytest.approx(10 / 12)  # two dogs are labelled cats
    assert report.accuracy.low < report.accuracy.value < report.accuracy.high
    assert report.classes == CLASSES and sum(map(sum, report.confusion)) == 12
    assert report.confusion == [[6, 2], [0, 4]] and report.per_class["cat"].recall == 0.75
    assert report.latency_ms["p50"] <= report.latency_ms["p95"] <= report.latency_ms["p99"]
    assert [(wrong.label, wrong.answer) for wrong in report.wrong] == [("cat", "dog")] * 2


def test_thresholds(address: str, processed: Path) -> None:
    csv = batch(processed)
    assert judge(address, csv, min_accuracy=0.8, max_p99_ms=60_000.0).passed
    low = judge(address, csv, min_accuracy=0.9)
    assert not low.passed and "below --min-accuracy 90.0%" in low.reasons[0] and "interval" in low.reasons[0]
    slow = judge(address, csv, max_p99_ms=0.001)
    assert not slow.passed and "above --max-p99-ms" in slow.reasons[0]


def test_one_bad_photo_is_an_error_not_a_crash(address: str, processed: Path) -> None:
    csv = batch(processed)
    rows = read_eval_batch(csv)
    (csv.parent / rows[3].path).unlink()
    (csv.parent / rows[4].path).write_bytes(b"no photo any more")
    report = judge(address, csv)
    assert not report.passed and report.answered == 10
    assert sorted(report.errors.values()) == [1, 1]
    assert any("cannot be read" in reason for reason in report.reasons)
    assert any("status 400" in reason for reason in report.reasons)


def test_labels_that_the_service_does_not_know(address: str, processed: Path) -> None:
    csv = batch(processed)
    rows = read_eval_batch(csv)
    write_eval_batch(csv, [EvalRow(path=row.path, label="bird", digest=row.digest) for row in rows[:2]] + rows[2:])
    report = judge(address, csv)
    assert not report.passed and "does not know the label 'bird', only cat, dog" in report.reasons[0]


@pytest.mark.parametrize(("status", "body", "kind", "words"), [
    (200, b"<html>hello</html>", "text/html", "answered HTML, not JSON"),
    (200, b'{"hello": 1}', "application/json", "without label"),
    (404, b"{}", "application/json", "answered 404"),
])
def test_what_is_no_service_of_ours(processed: Path, status: int, body: bytes, kind: str, words: str) -> None:
    csv = batch(processed, per_class=1)
    with answering(status, body, kind) as address:
        report = judge(address, csv)
    assert not report.passed and any(words in reason for reason in report.reasons)
    assert json.loads(csv.with_name("report.json").read_text())["passed"] is False


def test_a_service_that_is_down_leaves_a_report(processed: Path) -> None:
    csv = batch(processed)
    report = judge(f"http://127.0.0.1:{free_port()}", csv)
    written = json.loads(csv.with_name("report.json").read_text())
    assert not report.passed and "not ready within" in written["reasons"][0] and written["accuracy"] is None


def test_an_empty_batch_fails(address: str, processed: Path) -> None:
    csv = processed.parent / "empty.csv"
    write_eval_batch(csv, [])
    assert judge(address, csv).reasons == [f"{csv} names no photos", "no photo was answered"]


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd"])
def test_paths_that_leave_the_folder_are_refused(address: str, tmp_path: Path, path: str) -> None:
    write_eval_batch(tmp_path / "evil.csv", [EvalRow(path=path, label="cat", digest="0")])
    with pytest.raises(UsageError, match="leaves its folder"):
        judge(address, tmp_path / "evil.csv")


def test_exit_statuses(address: str, processed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv = batch(processed)
    capsys.readouterr()
    common = ["post-deploy-eval", "--input-csv", str(csv), "--output-json", str(csv.with_name("r.json")),
              "--wait-seconds", "0.2"]
    assert main([*common, "--base-url", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["count"] == 12
    assert main([*common, "--base-url", address, "--min-accuracy", "0.99"]) == 1
    assert main([*common, "--base-url", f"http://127.0.0.1:{free_port()}"]) == 1
    assert main([*common, "--base-url", "nowhere"]) == 2
    assert main(["post-deploy-eval", "--base-url", address, "--input-csv", "missing.csv"]) == 2
    assert "Traceback" not in capsys.readouterr().err
