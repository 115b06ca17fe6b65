import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from catsdogs.backup import backup
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.settings.job import BackupSettings
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Content


def database(path: Path, rows: int = 100) -> Path:
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE runs (number INTEGER, pair INTEGER)")
        made.executemany("INSERT INTO runs VALUES (?, ?)", [(number, -number) for number in range(rows)])
        made.commit()
    return path


def rows(path: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute("SELECT number, pair FROM runs ORDER BY number").fetchall()


def test_there_and_back_again(tmp_path: Path, bucket: str) -> None:
    one, other = database(tmp_path / "mlflow.db"), database(tmp_path / "basic_auth.db", rows=3)
    expected = rows(one), rows(other)
    settings = BackupSettings(bucket=bucket, database=[one, other])
    made = backup(settings)
    assert sorted(made.copied) == [f"backups/mlflow/{name}/{made.time}.gz" for name in ("basic_auth.db", "mlflow.db")]
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        backup(settings.model_copy(update={"restore": "latest"}))
    for path in (one, other):
        path.rename(path.with_suffix(".gone"))
    backup(settings.model_copy(update={"restore": "latest"}))
    assert (rows(one), rows(other)) == expected


def test_a_copy_of_a_database_that_is_written_to_is_consistent(tmp_path: Path) -> None:
    """Every transaction writes a pair of rows; a copy must never hold half of one."""
    path, done = database(tmp_path / "mlflow.db", rows=20_000), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as writer:
            for number in range(100_000, 103_000):
                writer.execute("INSERT INTO runs VALUES (?, 1)", (number,))
                writer.execute("INSERT INTO runs VALUES (?, 2)", (number,))
                writer.commit()
                if done.is_set():
                    break

    thread = threading.Thread(target=write)
    thread.start()
    try:
        settings = BackupSettings(bucket=str(tmp_path / "bucket"), database=[path])
        backup(settings)
    finally:
        done.set()
        thread.join()
    path.unlink()
    backup(settings.model_copy(update={"restore": "latest"}))
    found = [number for number, _ in rows(path) if number >= 100_000]
    assert len(rows(path)) >= 20_000 and all(found.count(number) == 2 for number in set(found))


def test_only_the_newest_copies_are_kept(tmp_path: Path) -> None:
    path, store = database(tmp_path / "mlflow.db"), open_store(BucketSettings(bucket=str(tmp_path / "bucket")))
    for day in range(1, 6):
        store.write(f"backups/mlflow/mlflow.db/2020010{day}T000000Z.gz", Content.of(b"old"))
    store.write("backups/mlflow/mlflow.db/notes.txt", Content.of(b"not ours"))
    made = backup(BackupSettings(bucket=str(tmp_path / "bucket"), database=[path], keep=2))
    names = [entry.key.rpartition("/")[2] for entry in store.entries("backups/mlflow/mlflow.db/")]
    assert names == ["20200105T000000Z.gz", f"{made.time}.gz", "notes.txt"] and made.removed == 4


def test_what_cannot_be_copied_or_restored_is_said(tmp_path: Path) -> None:
    bucket = str(tmp_path / "bucket")
    with pytest.raises(UsageError, match="absent.db does not exist"):
        backup(BackupSettings(bucket=bucket, database=[tmp_path / "absent.db"]))
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(CatsdogsError, match="is it an SQLite database"):
        backup(BackupSettings(bucket=bucket, database=[tmp_path / "text.db"]))
    with pytest.raises(UsageError, match="two files of one name"):
        backup(BackupSettings(bucket=bucket, database=[tmp_path / "a/x.db", tmp_path / "b/x.db"]))
    with pytest.raises(CatsdogsError, match="has no copy latest"):
        backup(BackupSettings(bucket=bucket, database=[tmp_path / "new.db"], restore="latest"))
    path = database(tmp_path / "mlflow.db")
    made = backup(BackupSettings(bucket=bucket, database=[path]))
    path.unlink()
    (copy,) = (Path(bucket) / "backups/mlflow/mlflow.db").iterdir()
    copy.write_bytes(copy.read_bytes()[:200])
    with pytest.raises(CatsdogsError, match="is damaged"):
        backup(BackupSettings(bucket=bucket, database=[path], restore=made.time))
    assert not path.exists()
