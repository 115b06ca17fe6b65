import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from catsdogs.alike import Alike, look, near_pairs, same
from tests.doctor.faults import near_copy
from tests.photos import encoded, picture

hashes = st.integers(0, 2**64 - 1)


def photo(seed: int) -> Image.Image:
    """With more detail than `picture`, as photos have."""
    fine = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return Image.blend(picture(seed, (180, 150)), Image.fromarray(fine).resize((180, 150)), 0.4)


@pytest.mark.parametrize("kind", ["recoded", "resized", "cropped"])
@pytest.mark.parametrize("seed", range(6))
def test_copies_look_the_same_either_way_round(kind: str, seed: int) -> None:
    one, other = look(encoded(photo(seed))), look(near_copy(photo(seed), kind, seed))
    assert same(one, other) and same(other, one)


def test_other_photos_mirrored_ones_and_plain_colours_do_not() -> None:
    looks = [look(encoded(photo(seed))) for seed in range(12)]
    assert not any(same(one, other) for place, one in enumerate(looks) for other in looks[:place])
    assert not any(same(look(encoded(ImageOps.mirror(photo(seed)))), looks[seed]) for seed in range(12))
    plain = [look(encoded(Image.new("RGB", (80, 80), colour))) for colour in ("white", "black")]
    assert not same(plain[0], plain[1]) and not same(plain[0], looks[0])


@given(st.lists(hashes, max_size=12), st.lists(hashes, max_size=12), st.integers(0, 8), st.integers(0, 64))
def test_pairs_are_those_that_comparing_one_by_one_finds(old: list[int], new: list[int], low: int, high: int) -> None:
    values = [*old, *new]
    brute = {
        (one, other) for one in range(len(old), len(values)) for other in range(one)
        if low <= (values[one] ^ values[other]).bit_count() <= high
    }
    found = list(near_pairs(old, new, low, high))
    assert len(found) == len(set(found)) and set(found) == brute


def test_more_photos_than_a_block_are_all_compared() -> None:
    random = np.random.default_rng(0)
    values = [int(value) for value in random.integers(0, 2**63, 1200)]
    values[1100] = values[3] ^ 1
    assert (1100, 3) in set(near_pairs(values[:500], values[500:], 0, 2))


def test_a_photo_that_is_gone_or_broken_is_alike_to_none() -> None:
    files: dict[str, bytes | None] = {"here": encoded(photo(1)), "gone": None, "broken": b"no photo"}
    alike = Alike(files.__getitem__)
    assert alike("here", "here")
    assert not alike("here", "gone") and not alike("broken", "here")


def test_a_look_is_small_and_grey() -> None:
    buffer = io.BytesIO(encoded(photo(1)))
    assert look(buffer.getvalue()).shape == (64, 64)
