from dataclasses import dataclass
from pathlib import Path

import pytest

from catsdogs.artifacts import EvalRow, ManifestRow, Verdict, read_eval_batch, write_eval_batch
from catsdogs.errors import CatsdogsError
from catsdogs.tables import read_table, write_table

ROW = ManifestRow(
    digest="ab" * 32, source="Cat/ä b\nc,\"d\"\udcff.jpg", label="cat", format="JPEG", width=4, height=3,
    phash="00ff", group="ab" * 32, verdict=Verdict.KEPT, reason="",
)


def test_rows_survive_with_any_file_name(tmp_path: Path) -> None:
    write_table(tmp_path / "m.csv", ManifestRow, [ROW])
    assert read_table(tmp_path / "m.csv", ManifestRow, "x") == [ROW]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "path,label,digest\nonly-one\n", "path,label,digest\n1,2,3,4\n"])
def test_a_damaged_table_is_named_with_its_repair(tmp_path: Path, text: str) -> None:
    (tmp_path / "batch.csv").write_text(text)
    with pytest.raises(CatsdogsError, match=r"batch\.csv.*catsdogs eval-batch"):
        read_eval_batch(tmp_path / "batch.csv")


def test_a_missing_table_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(CatsdogsError, match="missing.*catsdogs eval-batch"):
        read_eval_batch(tmp_path / "none.csv")


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "m.csv", ManifestRow, [ROW])
    text = (tmp_path / "m.csv").read_bytes().replace(b",4,3,", b",four,3,")
    (tmp_path / "m.csv").write_bytes(text)
    with pytest.raises(CatsdogsError, match="damaged"):
        read_table(tmp_path / "m.csv", ManifestRow, "x")


def test_eval_rows_round_trip(tmp_path: Path) -> None:
    rows = [EvalRow(path="batch/a.jpg", label="cat", digest="00")]
    write_eval_batch(tmp_path / "batch.csv", rows)
    assert read_eval_batch(tmp_path / "batch.csv") == rows


def test_a_table_of_an_earlier_version_lacks_a_column_that_has_a_default(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Old:
        name: str

    @dataclass(frozen=True, kw_only=True)
    class New:
        name: str
        given: str = ""

    write_table(tmp_path / "t.csv", Old, [Old(name="a")])
    assert read_table(tmp_path / "t.csv", New, "x") == [New(name="a")]
    write_table(tmp_path / "t.csv", New, [New(name="a", given="b")])
    assert read_table(tmp_path / "t.csv", New, "x") == [New(name="a", given="b")]
    with pytest.raises(CatsdogsError, match="columns"):
        read_table(tmp_path / "t.csv", Old, "x")
