from hypothesis import given
from hypothesis import strategies as st

from catsdogs.ingest.groups import HashIndex, assign_groups

hashes = st.integers(0, 2**64 - 1)


def hex16(value: int) -> str:
    return f"{value:016x}"


@given(st.lists(hashes, max_size=30), hashes, st.integers(0, 8))
def test_the_index_finds_exactly_what_comparing_all_pairs_finds(values: list[int], query: int, bits: int) -> None:
    index = HashIndex(bits)
    for number, value in enumerate(values):
        index.add(value, str(number))
    brute = {str(number) for number, value in enumerate(values) if (value ^ query).bit_count() <= bits}
    assert index.groups_near(query) == brute


@given(hashes, st.lists(st.integers(0, 63), max_size=4, unique=True))
def test_a_near_hash_joins_the_recorded_group(value: int, flips: list[int]) -> None:
    near = value
    for flip in flips:
        near ^= 1 << flip
    assert assign_groups({"old": (hex16(value), "g")}, {"new": hex16(near)}, 4) == {"new": "g"}


def test_a_photo_between_two_groups_is_a_bridge() -> None:
    recorded = {"a": (hex16(0b0000), "ga"), "b": (hex16(0b1111_1111), "gb")}
    assert assign_groups(recorded, {"m": hex16(0b0000_1111)}, 4) == {"m": None}


def test_the_answer_does_not_depend_on_the_order_given() -> None:
    new = {"c": hex16(1), "a": hex16(0), "b": hex16(1 << 60)}
    assert assign_groups({}, new, 2) == assign_groups({}, dict(reversed(new.items())), 2)
    assert assign_groups({}, new, 2)["c"] == "a"
