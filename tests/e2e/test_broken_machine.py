"""A full disk, a folder without permission, Ctrl-C: one sentence, nothing lost, and the next run completes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.ingest.examine import examine
from catsdogs.ingest.stage import ingest
from catsdogs.packed import open_packed
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from tests.photos import jpeg, write, write_raw

NOBODY = 65534
RATIOS = ["--train-ratio", "0.6", "--val-ratio", "0.2"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("catsdogs ")]
    assert len(error) == 1
    return error[0]


def test_a_full_disk_while_ingesting(small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    for number in range(30):
        for label, first in (("Cat", 0), ("Dog", 500)):
            write(raw / label / f"{number}.jpg", jpeg(first + number, (400, 300), quality=98))
    command = ["ingest", "--source-dir", str(raw), "--output-dir", str(small_disk / "out")]
    assert main(command) == 1
    assert "The disk is full" in said(capsys)
    assert not list((small_disk / "out").rglob("*.partial")) and not (small_disk / "out" / "manifest.csv").exists()
    grow(small_disk)
    assert main(command) == 0
    ingest(IngestSettings(source_dir=raw, output_dir=tmp_path / "undisturbed"))
    assert files(small_disk / "out") == files(tmp_path / "undisturbed")


def test_a_full_disk_while_preprocessing(small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(IngestSettings(source_dir=write_raw(tmp_path / "raw", 30), output_dir=tmp_path / "ingested", workers=1))
    command = ["preprocess", "--input-dir", str(tmp_path / "ingested"), "--image-size", "128", *RATIOS,
               "--output-dir", str(small_disk / "out")]
    assert main(command) == 1
    assert "The disk is full" in said(capsys)
    grow(small_disk)
    assert main(command) == 0
    assert len(open_packed(small_disk / "out").train.rows) > 0


def test_a_full_disk_while_training(small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(IngestSettings(source_dir=write_raw(tmp_path / "raw", 30), output_dir=tmp_path / "ingested", workers=1))
    preprocess(PreprocessSettings(input_dir=tmp_path / "ingested", output_dir=tmp_path / "processed", image_size=16,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    command = ["train", "--data-dir", str(tmp_path / "processed"), "--epochs", "1", "--mlflow-tracking-uri", "none",
               "--output-model", str(small_disk / "model.pt"), "--artifact-dir", str(small_disk / "artifacts")]
    assert main(command) == 1
    said(capsys)
    assert not (small_disk / "model.pt").exists() and not list(small_disk.rglob("*.partial"))
    grow(small_disk)
    assert main(command) == 0
    assert (small_disk / "model.onnx").exists()


@contextmanager
def without_privileges(folder: Path) -> Iterator[None]:
    """Root may read everything: become nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_no_permission_is_named_and_an_unreadable_photo_quarantined(capsys: pytest.CaptureFixture[str]) -> None:
    home = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's folders are closed to others
    try:
        raw = write_raw(home / "raw", 30)
        # As root first: nobody may not be allowed to read the packages that are imported on the way.
        examine(jpeg(1))
        assert main(["ingest", "--source-dir", str(raw), "--output-dir", str(home / "warm")]) == 0
        capsys.readouterr()
        with without_privileges(home):
            (home / "closed").mkdir(mode=0o500)
            (raw / "Cat" / "3.jpg").chmod(0)
            arguments = ["ingest", "--source-dir", str(raw), "--output-dir"]
            assert main([*arguments, str(home / "closed" / "out")]) == 2
            assert "No permission" in said(capsys)
            assert main([*arguments, str(home / "out")]) == 0
            assert "1 unreadable" in capsys.readouterr().out
            (raw / "Dog").chmod(0)
            assert main([*arguments, str(home / "out2")]) == 2
            assert "cannot be listed" in said(capsys)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("stage", ["sample", "preprocess", "train"])
def test_ctrl_c_is_one_sentence_and_the_next_run_completes(tmp_path: Path, stage: str) -> None:
    raw = tmp_path / "raw"
    for number in range(40):
        for label, first in (("Cat", 0), ("Dog", 500)):
            write(raw / label / f"{number}.jpg", jpeg(first + number, (800, 600)))
    ingest(IngestSettings(source_dir=raw, output_dir=tmp_path / "ingested"))
    preprocess(PreprocessSettings(input_dir=tmp_path / "ingested", output_dir=tmp_path / "p", image_size=32,
                                  train_ratio=0.6, val_ratio=0.2))
    out = tmp_path / "out"
    command, begun = {
        "sample": (["sample", "--per-class", "200", "--output-dir", str(out)], "Cat/*.jpg"),
        "preprocess": (["preprocess", "--input-dir", str(tmp_path / "ingested"), "--image-size", "300", *RATIOS,
                        "--workers", "1", "--output-dir", str(out)], "*/*/*.jpg"),
        "train": (["train", "--data-dir", str(tmp_path / "p"), "--epochs", "30", "--mlflow-tracking-uri", "none",
                   "--artifact-dir", str(out), "--output-model", str(out / "model.pt")], "checkpoint.pt"),
    }[stage]
    process = subprocess.Popen([sys.executable, "-m", "catsdogs", *command], stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not list(out.glob(begun)):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error.decode()
    last = error.decode().splitlines()[-1]
    assert last == f"catsdogs {stage}: interrupted; run the same command again to go on."
    assert b"Traceback" not in error
    assert main(command) == 0
    assert not list(tmp_path.rglob("*.partial"))
