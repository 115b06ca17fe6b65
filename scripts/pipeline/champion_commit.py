"""Prints the commit of the champion that a bucket names: python champion_commit.py BUCKET. Exit 1 without one."""

import sys

from catsdogs.champion.move import champion
from catsdogs.errors import CatsdogsError
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store


def commit_of_champion(bucket: str) -> str:
    """Raises CatsdogsError where no champion is named, or its commit is not known."""
    standing = champion(open_store(BucketSettings(bucket=bucket))).value
    if standing is None or standing.model is None:
        raise CatsdogsError(f"{bucket} names no champion: `catsdogs release` or `catsdogs promote` does.")
    if standing.model.commit is None:
        raise CatsdogsError(f"The champion of {bucket} was promoted without a commit: `catsdogs promote --commit`.")
    return standing.model.commit


if __name__ == "__main__":
    try:
        print(commit_of_champion(sys.argv[1]))
    except CatsdogsError as error:
        sys.exit(str(error))
