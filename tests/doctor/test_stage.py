import html
import json
import re
import shutil
from pathlib import Path

import pytest

from catsdogs.artifacts import Verdict, read_manifest, read_splits, write_manifest, write_splits
from catsdogs.cli import main
from catsdogs.doctor.stage import DoctorResult, doctor
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.ingest.stage import ingest
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from catsdogs.settings.doctor import DoctorSettings
from tests.doctor.faults import junk, near_copy, saved
from tests.doctor.test_html import HOSTILE, Tags
from tests.doctor.test_measure import photo
from tests.photos import write


def ingested(raw: Path, folder: Path, fixes: Path | None = None, **options: object) -> Path:
    ingest(IngestSettings(source_dir=raw, output_dir=folder / "ingested", fixes=fixes, workers=1,
                          max_bad_share=0.5, **options))  # type: ignore[arg-type]
    return folder / "ingested"


def examined(folder: Path, **options: object) -> DoctorResult:
    return doctor(DoctorSettings(data_dir=folder / "ingested", processed_dir=folder / "processed",
                                 output_dir=folder / "report", workers=1, **options))  # type: ignore[arg-type]


def split(folder: Path) -> None:
    preprocess(PreprocessSettings(input_dir=folder / "ingested", output_dir=folder / "processed", image_size=32,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for offset, label in enumerate(("Cat", "Dog")):
        for number in range(24):
            write(tmp_path / "raw" / label / f"{number}.jpg", saved(photo(100 * offset + number)))
    return tmp_path / "raw"


def test_good_photos_pass_and_both_reports_are_written(raw: Path, tmp_path: Path) -> None:
    ingested(raw, tmp_path)
    split(tmp_path)
    result = examined(tmp_path)
    assert result.passed and result.report.classes == {"cat": 24, "dog": 24}
    assert sum(sum(counts.values()) for counts in result.report.splits.values()) == 48 and result.report.splits_current
    assert json.loads((tmp_path / "report" / "report.json").read_text())["formats"] == {"JPEG": 48}
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('<img src="data:image/jpeg;base64,') == 24  # twelve samples of each class
    plots = re.findall(r'<figure class="plot"><figcaption><b>([^<]*)</b>.*?<svg', page)
    assert plots == ["Photos a class", "Formats", "Width", "Height", "Width over height", "Brightness",
                     "Brightest spot", "Sharpness"]
    assert "prefers-color-scheme:dark" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)|url\(|@import|https?://""", page)


def test_the_same_photos_give_the_same_report(raw: Path, tmp_path: Path) -> None:
    ingested(raw, tmp_path)
    examined(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    examined(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before


def test_hostile_names_of_classes_and_files_stay_text(raw: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)<" + "img src=x onerror=alert(1)>"
    for number in range(24):
        write(raw / evil / f"{number}.jpg", saved(photo(500 + number)))
    write(raw / "Cat" / f"{HOSTILE.replace('/', '')}.jpg", junk("text", photo(1), 1))
    write(raw / "Dog" / f"{HOSTILE.replace('/', '')}.jpg", b"not a photo")
    write(raw / "Dog" / "latin-\udce9.jpg", junk("text", photo(2), 2))
    shutil.copy(raw / "Cat" / "1.jpg", raw / evil / "both.jpg")
    ingested(raw, tmp_path)
    result = examined(tmp_path, max_odd_share=0.5)
    page = Tags((tmp_path / "report" / "report.html").read_text())
    assert "script" not in page.seen and evil in page.text and "not-an-image" in page.text
    assert page.seen.count("img") == len(re.findall("<img src=.data:", (tmp_path / "report/report.html").read_text()))
    assert {one.photo.source for one in result.report.odd} >= {"Dog/latin-\\xe9.jpg"}


def test_what_is_in_quarantine_is_shown_with_its_reason(raw: Path, tmp_path: Path) -> None:
    write(raw / "Cat" / "cut.jpg", saved(photo(77))[:-2000])
    shutil.copy(raw / "Cat" / "1.jpg", raw / "Dog" / "both.jpg")
    ingested(raw, tmp_path)
    report = examined(tmp_path).report
    reasons = {one.photo.source: (one.verdict, one.reason) for one in report.refused}
    assert reasons["Cat/cut.jpg"] == ("quarantined", "truncated")
    assert reasons["Dog/both.jpg"] == ("conflict", "the same photo under cat, dog")
    (conflict,) = [group for group in report.copies if "refused" in group.problems]
    assert any('action: relabel, label: "dog"' in line for line in conflict.fixes)
    page = (tmp_path / "report" / "report.html").read_text()
    quarantine = page.split('id="refused"')[1].split("</section>")[0]
    figures = re.findall(r"<figure.*?</figure>", quarantine)
    assert len(figures) == 3  # the cut one, and the conflict's two
    for figure in figures:
        conflict_of = "the same photo under cat, dog" in figure
        assert conflict_of == ("<img" in figure) and (conflict_of or "truncated" in figure)  # a picture where there is
    assert html.escape(conflict.fixes[0]) in page  # the line to add


def test_copies_across_classes_break_a_rule_until_a_person_keeps_or_relabels(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(raw / "Dog" / "again.jpg", near_copy(photo(3), "recoded", 1))  # of Cat/3.jpg
    ingested(raw, tmp_path)
    arguments = ["doctor", str(tmp_path / "ingested"), "--processed-dir", str(tmp_path / "processed"), "--workers",
                 "1", "--output-dir", str(tmp_path / "report")]
    assert main(arguments) == 1
    broken = "BROKEN       groups of copies under two classes: 1, and --max-across-classes is 0"
    assert broken in capsys.readouterr().out
    (group,) = [group for group in examined(tmp_path).report.copies if group.problems]
    line = next(line for line in group.fixes if 'label: "cat"' in line)
    (tmp_path / "fixes.yaml").write_text(line + "\n")
    ingested(raw, tmp_path, tmp_path / "fixes.yaml")
    assert main([*arguments, "--fixes", str(tmp_path / "fixes.yaml")]) == 0
    assert examined(tmp_path).report.changes is not None
    (changed,) = examined(tmp_path).report.changes.relabelled  # type: ignore[union-attr]
    assert (changed.before, changed.after) == ("dog", "cat")


@pytest.mark.parametrize("action", ['action: relabel, label: "cat"', "action: drop"])
def test_the_same_bytes_under_two_classes_break_that_rule_until_a_person_decides(
    action: str, raw: Path, tmp_path: Path
) -> None:
    shutil.copy(raw / "Cat" / "1.jpg", raw / "Dog" / "both.jpg")
    ingested(raw, tmp_path)
    report = examined(tmp_path).report
    assert [rule.name for rule in report.rules if not rule.passed] == ["max_across_classes"]
    (group,) = [group for group in report.copies if group.problems]
    assert group.problems == ["across classes", "refused"]
    (line,) = [line for line in group.fixes if action in line]
    (tmp_path / "fixes.yaml").write_text(line + "\n")
    ingested(raw, tmp_path, tmp_path / "fixes.yaml")
    assert all(rule.passed for rule in examined(tmp_path).report.rules)


def test_copies_that_an_earlier_version_missed_are_found_across_splits(raw: Path, tmp_path: Path) -> None:
    """A manifest whose groups know nothing of the copy, and splits that tear it apart."""
    write(raw / "Cat" / "again.jpg", near_copy(photo(3), "cropped", 4))
    folder = ingested(raw, tmp_path)
    rows = read_manifest(folder)
    assert len({row.group for row in rows}) == 48
    write_manifest(folder, [type(row)(**(vars(row) | {"group": row.digest})) for row in rows])
    split(tmp_path)
    torn = {row.digest for row in rows if row.source in ("Cat/3.jpg", "Cat/again.jpg")}
    parts = iter(("train", "test"))
    write_splits(tmp_path / "processed", [
        type(row)(**(vars(row) | {"split": next(parts) if row.digest in torn else row.split}))
        for row in read_splits(tmp_path / "processed")
    ])
    report = examined(tmp_path).report
    assert not report.passed
    (group,) = report.copies
    assert {photo.digest for photo in group.photos} == torn and group.problems == ["across splits"]


def test_odd_ones_break_a_rule_and_a_kept_one_is_not_listed_again(raw: Path, tmp_path: Path) -> None:
    write(raw / "Cat" / "logo.jpg", junk("text", photo(1), 3))
    ingested(raw, tmp_path)
    first = examined(tmp_path)
    (odd,) = first.report.odd
    assert not first.passed and odd.photo.source == "Cat/logo.jpg" and odd.kind == "graphic"
    assert "BROKEN       share of odd ones out" in first.text()
    assert html.escape(odd.fix) in (tmp_path / "report" / "report.html").read_text()
    (tmp_path / "fixes.yaml").write_text(odd.fix.replace("action: drop", "action: keep") + "\n")
    second = examined(tmp_path, fixes=tmp_path / "fixes.yaml")
    assert second.passed and not second.report.odd


@pytest.mark.parametrize(("options", "broken"), [
    ({"max_imbalance": 1.5}, "max_imbalance"), ({"min_per_class": 13}, "min_per_class"),
    ({"max_refused_share": 0.01}, "max_refused_share"),
])
def test_every_rule_can_break(options: dict[str, object], broken: str, raw: Path, tmp_path: Path) -> None:
    for number in range(12, 24):
        (raw / "Dog" / f"{number}.jpg").unlink()
    write(raw / "Dog" / "cut.jpg", saved(photo(77))[:-2000])
    ingested(raw, tmp_path)
    assert examined(tmp_path, min_per_class=1).passed
    report = examined(tmp_path, **({"min_per_class": 1} | options)).report
    assert [rule.name for rule in report.rules if not rule.passed] == [broken]


def test_changes_since_the_last_version_and_since_a_named_one(raw: Path, tmp_path: Path) -> None:
    ingested(raw, tmp_path)
    assert examined(tmp_path).report.changes is None
    shutil.copytree(tmp_path / "ingested", tmp_path / "old")
    write(raw / "Dog" / "new.jpg", saved(photo(901)))
    ingested(raw, tmp_path)
    new = next(row.digest for row in read_manifest(tmp_path / "ingested") if row.source == "Dog/new.jpg")
    for _ in range(2):  # a second look at the same version says the same
        found = examined(tmp_path).report.changes
        assert found is not None and (found.added, found.removed, found.relabelled) == ([new], [], [])
    named = examined(tmp_path, since=tmp_path / "old").report.changes
    assert named == found
    rows = read_manifest(tmp_path / "ingested")
    write_manifest(tmp_path / "ingested", [row for row in rows if row.digest != new])
    back = examined(tmp_path).report.changes
    assert back is not None and (back.added, back.removed) == ([], [new])
    with pytest.raises(UsageError, match="--since"):
        examined(tmp_path, since=tmp_path / "nowhere")


def test_stale_splits_are_said(raw: Path, tmp_path: Path) -> None:
    ingested(raw, tmp_path)
    split(tmp_path)
    write(raw / "Dog" / "new.jpg", saved(photo(901)))
    ingested(raw, tmp_path)
    assert not examined(tmp_path).report.splits_current
    assert "another version of the photos" in (tmp_path / "report" / "report.html").read_text()


def test_what_is_missing_or_damaged_is_one_sentence(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="catsdogs ingest"):
        examined(tmp_path)
    folder = ingested(raw, tmp_path)
    row = next(row for row in read_manifest(folder) if row.verdict == Verdict.KEPT)
    (folder / row.path).write_bytes(b"damaged")
    with pytest.raises(CatsdogsError, match="has changed since manifest.csv"):
        examined(tmp_path)
    (folder / row.path).unlink()
    with pytest.raises(CatsdogsError, match="is missing"):
        examined(tmp_path)
    with pytest.raises(UsageError, match="catsdogs preprocess"):
        examined(tmp_path, labels=True)
