"""Fetches an evaluation batch that lies in a bucket: python fetch_batch.py ADDRESS CSV, checked photo by photo.

ADDRESS is the folder, or the eval_batch.csv in it (gs://, s3:// or on disk); the photos go beside CSV.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from catsdogs.artifacts import EvalRow, read_eval_batch
from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256, write_bytes
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store

NAME = "eval_batch.csv"


def fetch(address: str, output_csv: Path) -> int:
    """Photos fetched. Raises CatsdogsError where one is missing, is another, or its path leads out of the folder."""
    folder = address.removesuffix("/").removesuffix("/" + NAME)
    store = open_store(BucketSettings(bucket=folder))
    text = store.read(NAME)
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch, NAME)
        listed.write_bytes(text)
        rows = read_eval_batch(listed)
    with ThreadPoolExecutor(BucketSettings().transfers) as pool:
        list(pool.map(lambda row: _fetch(store, row, output_csv.parent), rows))
    write_bytes(output_csv, text)
    return len(rows)


def _fetch(store: Store, row: EvalRow, folder: Path) -> None:
    if set(Path(row.path).parts) & {"..", "/"}:
        raise CatsdogsError(f"{NAME} names {row.path!r}, which leads out of its folder: make the batch anew.")
    data = store.read(row.path)
    if sha256(data) != row.digest:
        raise CatsdogsError(f"{store.url}/{row.path} is not the photo that {NAME} names: make the batch anew.")
    write_bytes(folder / row.path, data)


if __name__ == "__main__":
    try:
        print(f"{fetch(sys.argv[1], Path(sys.argv[2])):,} photos  <- {sys.argv[1]}")
    except CatsdogsError as error:
        sys.exit(str(error))
