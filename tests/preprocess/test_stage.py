import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.artifacts import Preprocessed, read_manifest, read_splits
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256_file
from catsdogs.images import prepare
from catsdogs.ingest.stage import ingest
from catsdogs.packed import open_packed
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from tests.photos import jpeg, write, write_raw


@pytest.fixture
def ingested(tmp_path: Path) -> Path:
    raw = write_raw(tmp_path / "raw", 30)
    ingest(IngestSettings(source_dir=raw, output_dir=tmp_path / "ingested", workers=1))
    return tmp_path / "ingested"


def run(ingested: Path, **options: object) -> Path:
    output = ingested.parent / "processed"
    named = {"image_size": 16, "train_ratio": 0.6, "val_ratio": 0.2, "workers": 1} | options
    preprocess(PreprocessSettings(input_dir=ingested, output_dir=output, **named))  # type: ignore[arg-type]
    return output


def test_the_tree_the_splits_and_the_arrays_agree(ingested: Path) -> None:
    output = run(ingested)
    rows = read_splits(output)
    assert {row.digest for row in rows} == {row.digest for row in read_manifest(ingested)}
    files = {path.relative_to(output).as_posix() for path in output.rglob("*.jpg")}
    assert files == {row.path for row in rows}
    photos = open_packed(output)
    for split in (photos.train, photos.val, photos.test):
        assert len(split.rows) == len(split.labels) == len(split.pixels) > 0
        for row, label, pixels in zip(split.rows, split.labels, split.pixels, strict=True):
            assert photos.about.classes[label] == row.label
            assert np.array_equal(pixels, prepare((output / row.original).read_bytes(), 16))
            with Image.open(output / row.path) as resized:
                assert resized.size == (16, 16)


def test_arrays_are_mapped_not_loaded(ingested: Path) -> None:
    assert isinstance(open_packed(run(ingested)).train.pixels, np.memmap)


def test_the_same_input_gives_the_same_output(ingested: Path) -> None:
    output = run(ingested)
    first = (output / "splits.csv").read_bytes(), (output / "preprocess.json").read_bytes()
    shutil.rmtree(output)
    run(ingested)
    assert first == ((output / "splits.csv").read_bytes(), (output / "preprocess.json").read_bytes())


def test_adding_photos_moves_none_and_keeps_files(ingested: Path) -> None:
    output = run(ingested)
    before = {row.digest: row.split for row in read_splits(output)}
    stamps = {path: path.stat().st_mtime_ns for path in output.rglob("*.jpg")}
    raw = write_raw(ingested.parent / "more", 8, first=3000)
    ingest(IngestSettings(source_dir=raw, output_dir=ingested, workers=1))
    run(ingested)
    after = {row.digest: row.split for row in read_splits(output)}
    assert before.items() < after.items() and len(after) == len(before) + 16
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert len(open_packed(output).train.rows) == sum(split == "train" for split in after.values())
    assert len(list((output.parent / ".packed").glob("processed-*"))) == 1  # the old arrays are gone


def test_another_size_rewrites_the_tree(ingested: Path) -> None:
    run(ingested)
    output = run(ingested, image_size=24)
    sizes = set()
    for path in output.rglob("*.jpg"):
        with Image.open(path) as resized:
            sizes.add(resized.size)
    assert sizes == {(24, 24)}
    assert open_packed(output).train.pixels.shape[1:] == (24, 24, 3)


def test_another_seed_leaves_no_stale_photo(ingested: Path) -> None:
    run(ingested)
    output = run(ingested, seed=7)
    files = {path.relative_to(output).as_posix() for path in output.rglob("*.jpg")}
    assert files == {row.path for row in read_splits(output)}


@pytest.mark.parametrize("again", ["train", "preprocess"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "other-shape", "overwritten", "no-seal", "odd-seal"])
def test_damaged_arrays_are_made_again(
    ingested: Path, damage: str, again: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(ingested)
    expected = np.array(open_packed(output).train.pixels)
    (folder,) = (output.parent / ".packed").glob("processed-*")
    if damage == "missing":
        shutil.rmtree(folder)
    elif damage == "overwritten":
        _overwrite(folder / "train.npy")
    elif damage == "no-seal":
        (folder / "seal.json").unlink()
        _overwrite(folder / "train.npy")
    elif damage == "odd-seal":
        (folder / "seal.json").write_text('{"val.npy": 7}')
        _overwrite(folder / "train.npy")
    elif damage == "truncated":
        data = (folder / "train.npy").read_bytes()
        (folder / "train.npy").write_bytes(data[:-100])
    else:
        np.save(folder / "train.npy", np.zeros((1, 2, 2, 3), dtype=np.uint8))
    if again == "preprocess":
        run(ingested)
    capsys.readouterr()
    assert np.array_equal(open_packed(output).train.pixels, expected)
    assert ("missing or damaged" in capsys.readouterr().err) == (again == "train")


def _overwrite(path: Path) -> None:
    """A few bytes in the middle, as another program or a damaged copy would: the length and the header stay."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        before = file.read(64)
        file.seek(-64, os.SEEK_CUR)
        file.write(bytes(255 - value for value in before))


def test_arrays_that_were_copied_are_read_once_and_not_made_again(
    ingested: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(ingested)
    moved = ingested.parent / "elsewhere"
    shutil.copytree(output.parent / ".packed", moved / ".packed")  # with other inodes
    shutil.copytree(output, moved / "processed")
    capsys.readouterr()
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr("catsdogs.seal.sha256_file", digest)
    for _ in range(2):
        open_packed(moved / "processed")
    assert sorted(read) == ["test.npy", "train.npy", "val.npy"]
    assert "packing" not in capsys.readouterr().err


def test_a_changed_or_missing_ingested_photo_is_named(ingested: Path) -> None:
    row = read_manifest(ingested)[0]
    write(ingested / row.path, jpeg(31337))
    with pytest.raises(CatsdogsError, match="has changed since it was ingested.*catsdogs ingest"):
        run(ingested)
    (ingested / row.path).unlink()
    with pytest.raises(CatsdogsError, match="is missing"):
        run(ingested)


def test_wrong_input_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="catsdogs ingest"):
        run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatsdogsError, match="manifest.csv is missing.*catsdogs ingest"):
        run(tmp_path / "empty")


def test_somebody_elses_folder_is_left_alone(ingested: Path) -> None:
    theirs = write(ingested.parent / "processed" / "thesis.txt", b"years")
    with pytest.raises(UsageError, match="thesis.txt"):
        run(ingested)
    assert list(theirs.parent.iterdir()) == [theirs]


def test_opening_an_unprocessed_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="preprocess.json is missing.*catsdogs preprocess"):
        open_packed(tmp_path)


def test_a_damaged_description_is_named(ingested: Path) -> None:
    output = run(ingested)
    (output / Preprocessed.FILE_NAME).write_text(json.dumps({"classes": ["cat"]}))
    with pytest.raises(CatsdogsError, match=r"preprocess\.json is damaged"):
        open_packed(output)


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (["--train-ratio", "0.9", "--val-ratio", "0.3"], 2, "sum must be below 1"),
    (["--image-size", "4"], 2, "--image-size 4"),
    (["--input-dir", "missing"], 2, "catsdogs ingest"),
])
def test_exit_statuses(
    arguments: list[str], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["preprocess", *arguments]) == status
    assert words in capsys.readouterr().err


def test_photos_packed_before_an_interruption_are_not_prepared_again(ingested: Path) -> None:
    """A row marked as done is taken as it is: here it holds a value that preparing would not give."""
    output = run(ingested)
    (final,) = (output.parent / ".packed").glob("processed-*")
    done, train = np.load(final / "done.npy"), np.load(final / "train.npy")
    done[:] = 0
    done[0] = 1
    train[:2] = 7
    np.save(final / "done.npy", done)
    np.save(final / "train.npy", train)
    final.rename(final.with_name(final.name + ".partial"))
    run(ingested)
    pixels = open_packed(output).train.pixels
    assert (pixels[0] == 7).all() and not (pixels[1] == 7).all()


def test_processes_that_find_no_arrays_make_them_once(ingested: Path) -> None:
    """torchrun starts several at once, after a pull that never brings the cache."""
    output = run(ingested)
    shutil.rmtree(output.parent / ".packed")
    script = ("import sys, time\nfrom pathlib import Path\nfrom catsdogs import packed\n"
              "make = packed._prepare\n"
              "packed._prepare = lambda *some: (time.sleep(0.02), make(*some))[1]\n"  # the others come meanwhile
              "print(packed.open_packed(Path(sys.argv[1])).train.pixels.sum())\n")
    processes = [subprocess.Popen([sys.executable, "-c", script, str(output)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len({found for found, _ in said}) == 1
    assert sum("packing" in error for _, error in said) == 1


def test_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL to the whole process group while photos are being packed, three times; then it completes."""
    raw = tmp_path / "raw"
    for number in range(80):
        for label, first in (("Cat", 0), ("Dog", 1000)):
            write(raw / label / f"{number}.jpg", jpeg(first + number, (700, 500)))
    ingest(IngestSettings(source_dir=raw, output_dir=tmp_path / "ingested"))
    command = [sys.executable, "-m", "catsdogs", "preprocess", "--input-dir", str(tmp_path / "ingested"),
               "--image-size", "256", "--workers", "1", "--output-dir"]
    output = tmp_path / "processed"
    killed = 0
    for _ in range(3):
        count = len(list(output.rglob("*.jpg")))
        process = subprocess.Popen([*command, str(output)], stderr=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(list(output.rglob("*.jpg"))) <= count:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed, "the run was too quick to be killed: give it more photos"
    subprocess.run([*command, str(output)], check=True, capture_output=True)
    resumed = {path.name: path.read_bytes() for path in output.rglob("*.jpg")}
    arrays = [np.array(split.pixels) for split in (open_packed(output).train, open_packed(output).test)]
    shutil.rmtree(tmp_path / ".packed")
    shutil.rmtree(output)
    subprocess.run([*command, str(output)], check=True, capture_output=True)
    assert resumed == {path.name: path.read_bytes() for path in output.rglob("*.jpg")}
    again = [np.array(split.pixels) for split in (open_packed(output).train, open_packed(output).test)]
    assert all(np.array_equal(one, other) for one, other in zip(arrays, again, strict=True))
    assert not list(output.rglob("*.partial"))
