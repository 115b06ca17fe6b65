"""What an interrupted ingest already knows, so that running it again loses nothing that was finished."""

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from catsdogs.artifacts import ManifestRow
from catsdogs.ingest.examine import Examination

JOURNAL = ".examined.jsonl"


class Journal:
    """Examinations by digest: of earlier runs' manifest, and of a run that was cut short. Appended as work ends."""

    def __init__(self, folder: Path, previous: list[ManifestRow]) -> None:
        self.path = folder / JOURNAL
        self.known: dict[str, Examination] = {}
        for row in previous:
            # Only what was decided from the bytes alone; a duplicate's reason, say, is about other files.
            if row.digest and (row.phash or row.verdict == "quarantined"):
                self.known[row.digest] = _examination(row)
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                seen = Examination(**json.loads(line))
            except (ValueError, TypeError):
                break  # the line that was being written when the run was killed
            self.known[seen.digest] = seen

    def __enter__(self) -> Self:
        if self.path.exists():
            self._end_torn_line()
        self._file: IO[str] = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def record(self, rows: list[ManifestRow]) -> None:
        lines = [
            json.dumps(asdict(_examination(row))) + "\n"
            for row in rows if row.digest and row.digest not in self.known and row.reason != "system-file"
        ]
        self._file.writelines(lines)
        self._file.flush()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _end_torn_line(self) -> None:
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        if torn:
            self.path.write_bytes(whole + b"\n" if whole else b"")


def _examination(row: ManifestRow) -> Examination:
    return Examination(
        digest=row.digest, format=row.format, width=row.width, height=row.height, phash=row.phash,
        reason=row.reason if row.verdict == "quarantined" else "",
    )
