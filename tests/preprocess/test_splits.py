import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.artifacts import ManifestRow, Verdict
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.files import sha256
from catsdogs.preprocess.splits import assign, check_ratios, split_of


def row(number: int, label: str, group: str = "") -> ManifestRow:
    digest = sha256(f"{label}{number}".encode())
    return ManifestRow(digest=digest, source=f"{label}/{number}", label=label, format="JPEG", width=9, height=9,
                       phash="0" * 16, group=group or digest, verdict=Verdict.KEPT, reason="")


def rows(per_class: int) -> list[ManifestRow]:
    return [row(number, label) for label in ("cat", "dog") for number in range(per_class)]


@pytest.mark.parametrize("ratios", [(0.9, 0.2), (0.8, 0.2), (0.0, 0.5), (0.8, 0.0), (1.0, 0.1)])
def test_ratios_must_leave_something_for_all_three(ratios: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="--train-ratio"):
        check_ratios(*ratios)


def test_good_ratios_pass() -> None:
    check_ratios(0.8, 0.1)
    check_ratios(0.34, 0.33)


def test_shares_follow_the_ratios_in_every_class() -> None:
    splits = assign(rows(4000), 42, 0.8, 0.1)
    counts = Counter((item.label, splits[item.digest]) for item in rows(4000))
    for label in ("cat", "dog"):
        assert abs(counts[label, "train"] / 4000 - 0.8) < 0.02  # 3 standard errors
        assert abs(counts[label, "val"] / 4000 - 0.1) < 0.015


@settings(max_examples=20)
@given(st.integers(1, 300), st.integers(0, 2**32))
def test_adding_photos_moves_none(added: int, seed: int) -> None:
    before = assign(rows(300), seed, 0.6, 0.2)
    after = assign(rows(300 + added), seed, 0.6, 0.2)
    assert before.items() <= after.items()


def test_a_group_stays_together() -> None:
    group = [row(number, "cat", group="shared") for number in range(50)]
    splits = assign(rows(200) + group, 1, 0.6, 0.2)
    assert len({splits[item.digest] for item in group}) == 1


def test_seeds_differ() -> None:
    groups = [str(number) for number in range(200)]
    assert [split_of(group, 1, 0.5, 0.25) for group in groups] != [split_of(group, 2, 0.5, 0.25) for group in groups]


def test_an_empty_split_is_refused_with_a_seed_that_works() -> None:
    few = rows(5)
    with pytest.raises(CatsdogsError, match="split would hold no '(cat|dog)'.*--seed") as caught:
        for seed in range(50):
            assign(few, seed, 0.8, 0.1)
    better = re.search(r"--seed (\d+)", str(caught.value))
    assert better and assign(few, int(better[1]), 0.8, 0.1)
