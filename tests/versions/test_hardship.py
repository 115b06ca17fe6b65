"""The short form of `make soak`: kills and spoilt answers lose nothing."""

from pathlib import Path

import pytest

from tests.buckets import Servers, new_bucket
from tests.faults import Faults, proxy
from tests.versions.rounds import hardship


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_kills_and_faults_lose_nothing(kind: str, object_servers: Servers, tmp_path: Path) -> None:
    faults = Faults(getattr(object_servers, kind), share=0.05, seed=1)
    with proxy(faults):
        done = hardship(tmp_path, kind, new_bucket(kind, object_servers, tmp_path), faults, seed=1, photos=60,
                        versions=("c1",))
    assert done["killed"] and sum(count for name, count in faults.seen.items() if name) > 5


def test_kills_lose_nothing_in_a_folder(tmp_path: Path) -> None:
    done = hardship(tmp_path, "folder", str(tmp_path / "bucket"), None, seed=2, photos=60, versions=("c1",))
    assert done["killed"]
