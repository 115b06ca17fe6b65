import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from catsdogs.artifacts import ManifestRow, read_manifest
from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256
from catsdogs.ingest.stage import ingest
from catsdogs.settings.data import IngestSettings
from tests.photos import bad, encoded, jpeg, odd_but_good, picture, write, write_raw


def run(source: Path, output: Path, **options: object) -> list[ManifestRow]:
    named = {"zip_path": source} if source.suffix == ".zip" else {"source_dir": source}
    ingest(IngestSettings(**named, output_dir=output, workers=1, **options))  # type: ignore[arg-type]
    return read_manifest(output)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def verdicts(rows: list[ManifestRow]) -> dict[str, str]:
    return {row.source: row.verdict.value for row in rows}


def test_photos_keep_their_bytes_under_their_digest(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    rows = run(raw, tmp_path / "out")
    assert Counter(row.label for row in rows) == {"cat": 3, "dog": 3}
    for row in rows:
        data = (tmp_path / "out" / row.path).read_bytes()
        assert data == (raw / row.source).read_bytes()
        assert sha256(data) == row.digest
        assert (row.width, row.height) == (48, 32)


def test_good_photos_of_any_kind_are_kept_and_bad_files_quarantined(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    for name, data in odd_but_good().items():
        write(raw / "Cat" / name, data)
    for name, (data, _) in bad().items():
        write(raw / "Dog" / name, data)
    rows = run(raw, tmp_path / "out", max_bad_share=0.5)
    by_source = {row.source: row for row in rows}
    for name in odd_but_good():
        assert by_source[f"Cat/{name}"].verdict == "kept", name
    assert by_source["Cat/turned.jpg"].width == 32  # upright: the sides are swapped
    for name, (data, reason) in bad().items():
        row = by_source[f"Dog/{name}"]
        assert (row.verdict, row.reason) == ("quarantined", reason), name
        quarantined = list((tmp_path / "out" / "quarantine" / "dog").glob(f"{row.digest[:16]}-*"))
        assert [path.read_bytes() for path in quarantined] == [data]


def test_names_with_spaces_newlines_unicode_and_raw_bytes(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 2)
    names = ["ein Hund.jpg", "zwei\nZeilen.jpg", "кіт 猫.jpg", 'quote"s,comma.jpg', os.fsdecode(b"latin-\xe9.jpg")]
    for number, name in enumerate(names):
        write(raw / "Dog" / name, jpeg(500 + number))
    rows = run(raw, tmp_path / "out")
    assert {f"Dog/{name}" for name in names} <= {row.source for row in rows if row.verdict == "kept"}


def test_duplicates_once_and_conflicts_in_neither_class(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    shutil.copy(raw / "Cat" / "0.jpg", raw / "Cat" / "copy.jpg")
    shutil.copy(raw / "Cat" / "1.jpg", raw / "Dog" / "also-a-cat.jpg")
    rows = run(raw, tmp_path / "out")
    seen = verdicts(rows)
    assert sorted([seen["Cat/0.jpg"], seen["Cat/copy.jpg"]]) == ["duplicate", "kept"]
    assert seen["Cat/1.jpg"] == seen["Dog/also-a-cat.jpg"] == "conflict"
    kept = {row.digest for row in rows if row.verdict == "kept"}
    assert sha256((raw / "Cat" / "1.jpg").read_bytes()) not in kept
    assert len(list((tmp_path / "out" / "quarantine").rglob("*.jpg"))) == 2


def test_a_conflict_that_comes_later_takes_back_the_kept_photo(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    before = {row.source: row for row in run(raw, tmp_path / "out")}
    shutil.copy(raw / "Cat" / "0.jpg", raw / "Dog" / "x.jpg")
    rows = run(raw, tmp_path / "out")
    assert verdicts(rows)["Cat/0.jpg"] == verdicts(rows)["Dog/x.jpg"] == "conflict"
    assert not (tmp_path / "out" / before["Cat/0.jpg"].path).exists()


def test_near_duplicates_share_a_group(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 4)
    original = picture(900, (120, 90))
    write(raw / "Cat" / "a.jpg", encoded(original, quality=95))
    write(raw / "Cat" / "b.jpg", encoded(original, quality=60))
    write(raw / "Dog" / "c.png", encoded(original.resize((80, 60)), "PNG"))
    rows = {row.source: row for row in run(raw, tmp_path / "out")}
    assert len({rows[name].group for name in ("Cat/a.jpg", "Cat/b.jpg", "Dog/c.png")}) == 1
    assert len({row.group for row in rows.values()}) == 8 + 1


def test_running_again_adds_only_what_is_new(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    first = run(raw, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    write_raw(raw, 2, first=5000)  # other photos, under names that exist
    write(raw / "Cat" / "new.jpg", jpeg(7000))
    second = run(raw, tmp_path / "out")
    assert second[:len(first)] == first
    assert {row.digest for row in first} < {row.digest for row in second}
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert run(raw, tmp_path / "out") == second


def test_a_zip_gives_what_its_folder_gives(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in sorted(raw.rglob("*.jpg")):
            archive.write(path, f"PetImages/{path.relative_to(raw)}")
    from_folder = run(raw, tmp_path / "a")
    from_zip = run(tmp_path / "raw.zip", tmp_path / "b")
    assert [row.digest for row in from_folder] == [row.digest for row in from_zip]
    assert {row.group for row in from_folder} == {row.group for row in from_zip}


def test_max_per_class_is_a_stable_subset(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 12)
    few = {row.digest for row in run(raw, tmp_path / "few", max_per_class=4) if row.verdict == "kept"}
    more = {row.digest for row in run(raw, tmp_path / "more", max_per_class=8) if row.verdict == "kept"}
    assert len(few) == 8 and len(more) == 16 and few < more
    assert len(list((tmp_path / "few").rglob("*.jpg"))) == 8


def test_a_rotten_source_stops_and_is_listed(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 5)
    write(raw / "Cat" / "bad.jpg", b"no photo")
    with pytest.raises(CatsdogsError, match=r"1 of 11 files.*not-an-image.*--max-bad-share 0.05"):
        run(raw, tmp_path / "out")
    assert "Cat/bad.jpg" in (tmp_path / "out" / "rejected.csv").read_text()
    assert not (tmp_path / "out" / "manifest.csv").exists()
    run(raw, tmp_path / "out", max_bad_share=0.1)
    assert not (tmp_path / "out" / "rejected.csv").exists()


def test_system_files_do_not_count_as_rot(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 2)
    for label in ("Cat", "Dog"):
        write(raw / label / "Thumbs.db", b"litter")
    assert Counter(verdicts(run(raw, tmp_path / "out")).values()) == {"kept": 4, "quarantined": 2}


def test_a_class_without_a_usable_photo_stops(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 3, labels=("Cat",))
    write(raw / "Dog" / "1.jpg", b"no photo")
    with pytest.raises(CatsdogsError, match="No usable photo of the class 'dog'"):
        run(raw, tmp_path / "out", max_bad_share=1.0)


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 2)
    theirs = write(tmp_path / "home" / "thesis.txt", b"years")
    with pytest.raises(UsageError, match="thesis.txt"):
        run(raw, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == [theirs]


@pytest.mark.parametrize(("arguments", "status", "words"), [
    (["--source-dir", "missing"], 2, "does not exist"),
    (["--source-dir", "empty"], 2, "no folder with photos"),
    (["--zip-path", "cut.zip"], 1, "cut short"),
    (["--max-bad-share", "2"], 2, "--max-bad-share 2"),
])
def test_exit_statuses(
    arguments: list[str], status: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "cut.zip", b"PK\x03\x04 and then nothing")
    assert main(["ingest", *arguments]) == status
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_ctrl_c_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """Interrupted at three moments, then run again: equal to an undisturbed run, and nothing half-written."""
    raw = tmp_path / "raw"
    for number in range(60):
        for label, first in (("Cat", 0), ("Dog", 1000)):
            write(raw / label / f"{number}.jpg", jpeg(first + number, (900, 700)))
    command = [sys.executable, "-m", "catsdogs", "ingest", "--source-dir", str(raw), "--workers", "1", "--output-dir"]
    journal = tmp_path / "out" / ".examined.jsonl"
    interrupted = 0
    for _ in range(3):
        size = journal.stat().st_size if journal.exists() else 0
        process = subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.PIPE, start_new_session=True)
        while process.poll() is None and not (journal.exists() and journal.stat().st_size > size):
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate()
        assert b"Traceback" not in error
        interrupted += process.returncode == 130
    assert interrupted, "the run was too quick to be interrupted: give it more photos"
    subprocess.run([*command, str(tmp_path / "out")], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, capture_output=True)
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")
