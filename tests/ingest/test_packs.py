"""How lines are laid into packs."""

from itertools import groupby
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.packs import Pack, PackGathering


def gather(lines: list[tuple[int, bytes]], *, events_max: int, bytes_max: int) -> list[Pack[str]]:
    """All packs of `lines`, in the order they were closed; neighbours of one partition are added together."""
    gathering: PackGathering[str] = PackGathering(events_max=events_max, bytes_max=bytes_max)
    packs: list[Pack[str]] = []
    for partition, group in groupby(lines, key=itemgetter(0)):
        packs += gathering.add(partition, [line for _, line in group], "sender")
    return [*packs, *gathering.drain()]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])]
)
def test_pack_closes_at_its_number_of_events(count: int, sizes: list[int]) -> None:
    """Three events fill a pack of three; the rest waits."""
    packs = gather([(0, b"x")] * count, events_max=3, bytes_max=1000)
    assert [len(pack.lines) for pack in packs] == sizes


@pytest.mark.parametrize(
    ("length", "sizes"), [(9, [2, 2, 1]), (10, [1, 1, 1, 1, 1]), (19, [1] * 5), (25, [1] * 5)]
)
def test_pack_stays_under_its_bytes(length: int, sizes: list[int]) -> None:
    """Twenty bytes hold two lines of nine and their breaks; an oversized line travels alone."""
    packs = gather([(0, b"x" * length)] * 5, events_max=100, bytes_max=20)
    assert [len(pack.lines) for pack in packs] == sizes


def test_pack_counts_the_lines_of_each_sender() -> None:
    """A pack shared by two requests knows how many events each waits for."""
    gathering: PackGathering[str] = PackGathering(events_max=10, bytes_max=1000)
    for sender in ("first", "second", "first"):
        assert list(gathering.add(0, [b"x", b"y"], sender)) == []
    [pack] = gathering.drain()
    assert pack.senders == {"first": 4, "second": 2}
    assert list(gathering.drain()) == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=30))),
    st.integers(1, 5),
    st.integers(1, 80),
)
def test_packs_keep_every_line_once_in_order_per_partition(
    lines: list[tuple[int, bytes]], events_max: int, bytes_max: int
) -> None:
    """Whatever the bounds, no line is lost, doubled or overtaken, and no pack passes them without need."""
    packs = gather(lines, events_max=events_max, bytes_max=bytes_max)
    for partition in range(4):
        laid = [line for pack in packs if pack.partition == partition for line in pack.lines]
        assert laid == [line for where, line in lines if where == partition]
    for pack in packs:
        assert pack.size_bytes == sum(len(line) + 1 for line in pack.lines)
        assert 1 <= len(pack.lines) <= events_max
        assert pack.senders == {"sender": len(pack.lines)}
        assert pack.size_bytes <= bytes_max or len(pack.lines) == 1
