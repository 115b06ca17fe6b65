"""The small file that is a version: read strictly, and the same bytes as ever."""

import json

import pytest

from catsdogs.versions.manifest import Damaged, VersionManifest

# As `catsdogs push` wrote it when its schema was a pydantic model.
EARLIER = b"""{
  "schema_version": 1,
  "commit": "a1",
  "stage": "ingested",
  "created": 1764000000.25,
  "files": 15841,
  "size": 112347000,
  "tree": "ingested-abc",
  "tree_digest": "abc",
  "unpacked": false,
  "check": "CHECK"
}
"""


def written() -> VersionManifest:
    return VersionManifest(commit="a1", stage="ingested", created=1764000000.25, files=15841, size=112347000,
                           tree="ingested-abc", tree_digest="abc", unpacked=False).sealed()


def test_manifests_of_earlier_releases_are_read_and_written_alike() -> None:
    earlier = EARLIER.replace(b"CHECK", b"0253509aeb7d7508fca29124b036d551f2059f8b24f7c94b9dd3cb9229f04082")
    assert VersionManifest.decode(earlier, "here") == written()
    assert written().encode() == earlier


@pytest.mark.parametrize("change", [
    {"files": "15841"}, {"files": True}, {"files": 1.0}, {"created": "today"}, {"unpacked": 0}, {"commit": None},
    {"schema_version": 2}, {"more": 1}, {"size": 1}, {"check": ""},
])
def test_anything_else_is_damaged(change: dict[str, object]) -> None:
    with pytest.raises(Damaged, match="here is damaged"):
        VersionManifest.decode(json.dumps(json.loads(written().encode()) | change).encode(), "here")


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b'{"commit": "a1"}', b"[" * 100_000])
def test_what_is_no_manifest_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged, match="here is damaged"):
        VersionManifest.decode(data, "here")
