import shutil
from pathlib import Path

import pytest

from catsdogs.artifacts import ManifestRow, read_manifest
from catsdogs.cli import main
from catsdogs.errors import UsageError
from catsdogs.fixes import Action, fix_line
from catsdogs.ingest.stage import ingest
from catsdogs.settings.data import IngestSettings
from tests.photos import jpeg, write, write_raw


def run(raw: Path, output: Path, fixes: Path | None = None) -> dict[str, ManifestRow]:
    ingest(IngestSettings(source_dir=raw, output_dir=output, fixes=fixes, workers=1))
    return {row.source: row for row in read_manifest(output)}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def decisions(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    raw = write_raw(tmp_path / "raw", 5)
    shutil.copy(raw / "Cat" / "4.jpg", raw / "Dog" / "both.jpg")  # a conflict
    write(raw / "Dog" / "lighter.jpg", jpeg(10_003, quality=60))  # looks like Dog/3.jpg
    return raw


def test_dropped_and_relabelled_photos_are_recorded_with_who_and_why(raw: Path, tmp_path: Path) -> None:
    plain = run(raw, tmp_path / "plain")
    fixes = decisions(
        tmp_path / "fixes.yaml",
        fix_line(plain["Cat/0.jpg"].digest, Action.DROP, "a logo").replace("your name", "Ann"),
        fix_line(plain["Cat/1.jpg"].digest, Action.RELABEL, "it barks", "dog").replace("your name", "Bob"),
        fix_line(plain["Cat/2.jpg"].digest, Action.KEEP, "odd but good"),
    )
    rows = run(raw, tmp_path / "out", fixes)
    dropped, moved = rows["Cat/0.jpg"], rows["Cat/1.jpg"]
    assert (dropped.verdict, dropped.reason) == ("dropped", "dropped by Ann: a logo")
    assert (moved.verdict, moved.label, moved.given) == ("kept", "dog", "cat")
    assert moved.reason == "relabelled by Bob: it barks"
    assert (tmp_path / "out" / "dog" / f"{moved.digest}.jpg").read_bytes() == (raw / "Cat" / "1.jpg").read_bytes()
    assert not (tmp_path / "out" / "cat" / f"{moved.digest}.jpg").exists()
    assert (tmp_path / "out" / dropped.quarantine_path).exists()
    others = rows.keys() - {"Cat/0.jpg", "Cat/1.jpg"}
    assert {name: rows[name] for name in others} == {name: plain[name] for name in others}


def test_applied_at_once_later_or_taken_back_the_result_is_the_same(raw: Path, tmp_path: Path) -> None:
    plain = run(raw, tmp_path / "later")
    before = tree(tmp_path / "later")
    fixes = decisions(
        tmp_path / "fixes.yaml",
        fix_line(plain["Dog/3.jpg"].digest, Action.DROP, "no"),
        fix_line(plain["Cat/1.jpg"].digest, Action.RELABEL, "a dog", "dog"),
        fix_line(plain["Cat/4.jpg"].digest, Action.RELABEL, "a cat", "cat"),
    )
    run(raw, tmp_path / "later", fixes)
    run(raw, tmp_path / "at once", fixes)
    assert tree(tmp_path / "later") == tree(tmp_path / "at once") != before
    run(raw, tmp_path / "later", fixes)
    assert tree(tmp_path / "later") == tree(tmp_path / "at once")
    run(raw, tmp_path / "later", decisions(tmp_path / "none.yaml"))
    assert tree(tmp_path / "later") == before


def test_a_dropped_photo_still_holds_its_group_together(raw: Path, tmp_path: Path) -> None:
    """Else the look-alike of a dropped photo would get another group, and so may be another split."""
    plain = run(raw, tmp_path / "plain")
    first, second = plain["Dog/3.jpg"], plain["Dog/lighter.jpg"]
    assert first.group == second.group
    leader = first if first.group == first.digest else second
    fixes = decisions(tmp_path / "fixes.yaml", fix_line(leader.digest, Action.DROP, "no"))
    rows = run(raw, tmp_path / "out", fixes)
    assert {row.source: row.group for row in rows.values()} == {row.source: row.group for row in plain.values()}


def test_a_decision_resolves_a_conflict_and_later_photos_do_not_move_it(raw: Path, tmp_path: Path) -> None:
    plain = run(raw, tmp_path / "plain")
    assert plain["Cat/4.jpg"].verdict == plain["Dog/both.jpg"].verdict == "conflict"
    fixes = decisions(tmp_path / "fixes.yaml", fix_line(plain["Cat/4.jpg"].digest, Action.RELABEL, "a dog", "dog"))
    rows = run(raw, tmp_path / "out", fixes)
    kept = rows["Dog/both.jpg"]
    assert (kept.verdict, kept.label, kept.given, rows["Cat/4.jpg"].verdict) == ("kept", "dog", "", "duplicate")
    for quality in range(50, 80, 5):  # some of them have lower digests: they would lead a new group
        write(raw / "Dog" / f"again{quality}.jpg", jpeg(4, quality=quality))
    later = run(raw, tmp_path / "out", fixes)
    assert later["Dog/both.jpg"] == kept
    assert {later[f"Dog/again{quality}.jpg"].group for quality in range(50, 80, 5)} == {kept.group}


def test_photos_whose_source_is_gone_are_corrected_too(raw: Path, tmp_path: Path) -> None:
    plain = run(raw, tmp_path / "out")
    (raw / "Cat" / "0.jpg").unlink()
    (raw / "Cat" / "1.jpg").unlink()
    fixes = decisions(
        tmp_path / "fixes.yaml",
        fix_line(plain["Cat/0.jpg"].digest, Action.DROP, "no"),
        fix_line(plain["Cat/1.jpg"].digest, Action.RELABEL, "a dog", "dog"),
    )
    rows = run(raw, tmp_path / "out", fixes)
    assert (tmp_path / "out" / rows["Cat/1.jpg"].path).exists() and rows["Cat/1.jpg"].path.startswith("dog/")
    back = run(raw, tmp_path / "out", decisions(tmp_path / "none.yaml"))
    assert back == plain
    assert all((tmp_path / "out" / row.path).exists() for row in back.values() if row.verdict == "kept")


@pytest.mark.parametrize(("verdict", "action", "label", "words"), [
    ("conflict", Action.KEEP, None, "relabel it, to say which class"),
    ("quarantined", Action.RELABEL, "dog", "can only be dropped"),
    ("quarantined", Action.KEEP, None, "truncated"),
])
def test_what_was_refused_cannot_be_kept(
    verdict: str, action: Action, label: str | None, words: str, raw: Path, tmp_path: Path
) -> None:
    write(raw / "Cat" / "cut.jpg", jpeg(90, (200, 200))[:-900])
    source = {"conflict": "Cat/4.jpg", "quarantined": "Cat/cut.jpg"}[verdict]
    options = {"source_dir": raw, "max_bad_share": 0.5, "workers": 1}
    ingest(IngestSettings(**options, output_dir=tmp_path / "plain"))  # type: ignore[arg-type]
    row = next(row for row in read_manifest(tmp_path / "plain") if row.source == source)
    assert row.verdict == verdict
    fixes = decisions(tmp_path / "fixes.yaml", fix_line(row.digest, action, "please", label))
    with pytest.raises(UsageError, match=words):
        ingest(IngestSettings(**options, output_dir=tmp_path / "out", fixes=fixes))  # type: ignore[arg-type]


def test_unknown_photos_and_classes_stop_before_anything_is_written(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = run(raw, tmp_path / "out")["Cat/0.jpg"].digest
    before = tree(tmp_path / "out")
    monkeypatch.chdir(tmp_path)  # where fixes.yaml is found without being named
    for line, words in (
        (fix_line("f" * 64, Action.DROP, "no"), f"No photo has the digest '{'f' * 64}'"),
        (fix_line(digest, Action.RELABEL, "it moos", "cow"), "a 'cow', but the classes are cat, dog"),
    ):
        decisions(tmp_path / "fixes.yaml", line)
        assert main(["ingest", "--source-dir", "raw", "--output-dir", "out", "--workers", "1"]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert words in error
    assert {name: data for name, data in tree(tmp_path / "out").items() if ".examined" not in name} == before
