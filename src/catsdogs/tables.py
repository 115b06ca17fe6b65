"""CSV files whose rows are frozen dataclasses: opened by spreadsheets, checked when read."""

import csv
from collections.abc import Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from catsdogs.errors import CatsdogsError
from catsdogs.files import atomic_write

Row = TypeVar("Row")


def write_table(path: Path, row_type: type[Row], rows: Iterable[Row]) -> None:
    """Write `rows`, one line each, under a header of field names. None becomes an empty cell."""
    names = [field.name for field in fields(row_type)]  # type: ignore[arg-type]
    # surrogateescape: file names that are not UTF-8 survive the round trip byte for byte.
    with atomic_write(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(["" if (cell := getattr(row, name)) is None else cell for name in names] for row in rows)


def read_table(path: Path, row_type: type[Row], repair: str) -> list[Row]:
    """Read what `write_table` wrote. `repair` names the command that writes this file.

    Columns whose fields have defaults may be missing: tables of earlier versions stay readable. Raises CatsdogsError
    where the file is absent, or is not such a table.
    """
    hints: dict[str, Any] = get_type_hints(row_type)
    columns = fields(row_type)  # type: ignore[arg-type]
    names = [field.name for field in columns]
    optional = {field.name for field in columns if field.default is not MISSING}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if header != [name for name in names if name in header or name not in optional]:
                raise CatsdogsError(f"{path} has the columns {header}, expected {names}: write it anew with {repair}.")
            return [
                row_type(**{name: _cell(cell, hints[name]) for name, cell in zip(header, cells, strict=True)})
                for cells in reader
            ]
    except FileNotFoundError:
        raise CatsdogsError(f"{path} is missing: it is written by {repair}.") from None
    except (ValueError, csv.Error) as error:
        raise CatsdogsError(f"{path} is damaged ({error}): write it anew with {repair}.") from None


def _cell(text: str, kind: Any) -> Any:
    return kind(text) if isinstance(kind, type) else (text or None)
