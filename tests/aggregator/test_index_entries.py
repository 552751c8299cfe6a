"""Entries as columns: sorted, merged, and found whatever their ids are."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.bloom import ID_BYTES, HashedIds
from aggregator.index import IndexEntry
from aggregator.index_entries import ENTRY_BYTES, Entries, in_order

halves = st.sampled_from([bytes(8), bytes([0] * 7 + [1]), bytes([1] + [0] * 7), b"\xff" * 8])
ids = st.builds(lambda first, second: first + second, halves, halves)
"""Sixteen of them: many have the same first half."""
parts = st.lists(st.lists(st.tuples(ids, st.integers(0, 2**63 - 1)), max_size=6), min_size=1, max_size=4)


def made(part: list[tuple[bytes, int]]) -> Entries:
    return Entries.of([IndexEntry(event_id, fingerprint, 0) for event_id, fingerprint in part])


@given(batches=parts, asked=st.lists(ids, max_size=20))
def test_find_gives_the_first_entry_of_each_id(batches: list[list[tuple[bytes, int]]], asked: list[bytes]) -> None:
    """In the order in which they came, whatever was merged with what, and also after it was written and read."""
    first: dict[bytes, int] = {}
    for event_id, fingerprint in (entry for batch in batches for entry in batch):
        first.setdefault(event_id, fingerprint)
    merged = made([])
    for batch in batches:
        merged = in_order([merged, made(batch)])
    expected = {place: first[event_id] for place, event_id in enumerate(asked) if event_id in first}
    for each in (merged, in_order([made(batch) for batch in batches]), Entries.from_bytes(merged.to_bytes())):
        assert dict(each.find(HashedIds.of(asked))) == expected


def test_entries_take_the_documented_bytes() -> None:
    """Three columns of eight bytes each; what is read need not lie on a word's boundary."""
    entries = made([(bytes(range(ID_BYTES)), 2**63 - 1)] * 3)
    data = entries.to_bytes()
    assert len(data) == len(entries) * ENTRY_BYTES == 72
    shifted = Entries.from_bytes(memoryview(b"x" + data)[1:])
    assert list(shifted.find(HashedIds.of([bytes(range(ID_BYTES))]))) == [(0, 2**63 - 1)]


def test_no_entries_are_found_nowhere() -> None:
    """Neither does a search for nothing find anything."""
    entries = made([(bytes(ID_BYTES), 1)])
    assert list(entries.find(HashedIds.of([]))) == []
    assert list(made([]).find(HashedIds.of([bytes(ID_BYTES)]))) == []
