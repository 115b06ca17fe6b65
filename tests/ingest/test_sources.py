import os
import zipfile
from pathlib import Path

import pytest

from catsdogs.errors import BadImage, CatsdogsError, UsageError
from catsdogs.ingest.sources import FolderSource, ZipSource, is_system_file, labelled, open_source
from tests.photos import jpeg, write, write_raw


def labels(*names: str) -> dict[str, str]:
    return {file.name: file.label for file in labelled(names)[0]}


def test_the_first_folder_below_the_root_decides() -> None:
    assert labels("cat/1.jpg", "DOG/2.jpg", "cats/dog/3.jpg", "Dogs/cat.jpg") == {
        "cat/1.jpg": "cat", "DOG/2.jpg": "dog", "cats/dog/3.jpg": "cat", "Dogs/cat.jpg": "dog",
    }


def test_a_path_part_that_begins_with_cat_decides_nothing() -> None:
    assert set(labels("cats_dogs_raw/cat/1.jpg", "cats_dogs_raw/dog/1.jpg").values()) == {"cat", "dog"}


def test_microsofts_archive_is_understood() -> None:
    files, outside = labelled(["PetImages/Cat/0.jpg", "PetImages/Dog/0.jpg", "readme[1].txt", "MSR-LA - 3467.docx"])
    assert [file.label for file in files] == ["cat", "dog"]
    assert sorted(outside) == ["MSR-LA - 3467.docx", "readme[1].txt"]


def test_any_number_of_classes_keeps_its_names() -> None:
    assert sorted(labels("bus/1.jpg", "Red Panda/1.jpg", "glass/1.jpg").values()) == ["bus", "glass", "red panda"]


def test_hidden_folders_are_no_classes() -> None:
    assert set(labels("__MACOSX/cat/._1.jpg", ".git/x", "cat/1.jpg", "dog/1.jpg").values()) == {"cat", "dog"}


@pytest.mark.parametrize(("names", "words"), [
    (["cat/1.jpg", "cat/2.jpg"], "one class only"),
    (["1.jpg", "2.jpg"], "no folder"),
    ([], "no folder"),
    (["train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg"], "Unclear.*test, train.*cat, dog"),
    (["ca\nt/1.jpg", "dog/1.jpg"], "cannot be the name of a class"),
])
def test_what_is_unclear_is_refused(names: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        labelled(names)


def test_system_files_are_told_from_photos() -> None:
    assert is_system_file("cat/Thumbs.db") and is_system_file("dog/._1.jpg")
    assert not is_system_file("cat/thumbs.jpg")


def test_links_pipes_and_large_files_are_not_read(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "raw", 1)
    secret = write(tmp_path / "secret.jpg", jpeg(1))
    (root / "Cat" / "out.jpg").symlink_to(secret)
    (root / "Cat" / "in.jpg").symlink_to(root / "Cat" / "0.jpg")
    (root / "Cat" / "gone.jpg").symlink_to(root / "nothing.jpg")
    os.mkfifo(root / "Cat" / "pipe.jpg")
    with (root / "Cat" / "large.jpg").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    source = FolderSource(root)
    assert source.read("Cat/in.jpg") == source.read("Cat/0.jpg")
    reasons = {}
    for name in ("out", "gone", "pipe", "large"):
        with pytest.raises(BadImage) as caught:
            source.read(f"Cat/{name}.jpg")
        reasons[name] = caught.value.reason
    assert reasons == {"out": "link-outside", "gone": "unreadable", "pipe": "not-a-file", "large": "too-large"}


def test_a_linked_class_folder_is_named_not_followed(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "raw", 1)
    write_raw(tmp_path / "elsewhere", 1)
    (root / "Cat" / "more").symlink_to(tmp_path / "elsewhere")
    assert "Cat/more" in FolderSource(root).names()
    assert not any(name.startswith("Cat/more/") for name in FolderSource(root).names())


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def test_a_zip_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    for name in ("../../evil.jpg", "/etc/evil.jpg", "..\\evil.jpg"):
        path = archive(tmp_path / "evil.zip", {"cat/1.jpg": jpeg(1), name: b"x"})
        with pytest.raises(CatsdogsError, match="leaves the archive"):
            ZipSource(path)


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {"cat/1.jpg": jpeg(1), "dog/1.jpg": jpeg(2)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CatsdogsError, match="cut short"):
        ZipSource(path)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    zeros = bytes(30 * 1024 * 1024)
    entries = {f"cat/{number}.jpg": zeros for number in range(5)}
    path = archive(tmp_path / "bomb.zip", entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(CatsdogsError, match="zip bomb"):
        ZipSource(path)


def test_a_damaged_entry_spoils_only_itself(tmp_path: Path) -> None:
    first, second = jpeg(1), jpeg(2)
    path = archive(tmp_path / "a.zip", {"cat/1.jpg": first, "dog/1.jpg": second})
    data = bytearray(path.read_bytes())
    data[data.index(first) + 50] ^= 0xFF
    path.write_bytes(bytes(data))
    source = ZipSource(path)
    assert source.read("dog/1.jpg") == second
    with pytest.raises(BadImage, match="cannot be read"):
        source.read("cat/1.jpg")


def test_two_sources_or_none_are_wrong_usage(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="exclude each other"):
        open_source(tmp_path, tmp_path / "a.zip", out)
    with pytest.raises(UsageError, match="does not exist"):
        open_source(tmp_path / "missing", None, out)
    with pytest.raises(UsageError, match="does not exist"):
        open_source(None, tmp_path / "missing.zip", out)
    with pytest.raises(UsageError, match="--zip-path"):
        open_source(write(tmp_path / "notes.txt", b"x"), None, out)


def test_either_flag_takes_a_folder_or_a_zip(tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed = archive(tmp_path / "a.zip", {"cat/1.jpg": jpeg(1)})
    raw = write_raw(tmp_path / "raw", 1)
    for source in (open_source(packed, None, out), open_source(None, packed, out)):
        assert isinstance(source, ZipSource)
    for source in (open_source(raw, None, out), open_source(None, raw, out)):
        assert isinstance(source, FolderSource)


def test_an_output_inside_the_source_is_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", 1)
    for output in (raw, raw / "ingested"):
        with pytest.raises(UsageError, match="lies inside the source"):
            open_source(raw, None, output)
