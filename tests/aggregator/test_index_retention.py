"""The bound of the index: what a sweep deletes, what a rebuild leaves out, how large the file becomes."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from aggregator.index import STRETCHES, DedupIndex, IndexEntry
from tests.aggregator.stream import NOON_US
from tests.aggregator.test_index import Stored

HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US


def arrived(number: int, at_us: int) -> IndexEntry:
    return IndexEntry(number.to_bytes(16, "little"), 5, at_us)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[DedupIndex]:
    """An index that remembers two days."""
    index = DedupIndex(tmp_path / "index", retention_days=2)
    yield index
    index.close()


def known(index: DedupIndex, numbers: range) -> list[int]:
    found = index.lookup([number.to_bytes(16, "little") for number in numbers])
    return sorted(int.from_bytes(event_id, "little") for event_id in found)


def sweep_all(index: DedupIndex) -> int:
    return sum(index.sweep() for _ in range(100))


@pytest.mark.parametrize(
    ("age_us", "is_kept"),
    [(0, True), (2 * DAY_US, True), (2 * DAY_US + HOUR_US, False), (40 * DAY_US, False)],
)
def test_sweep_deletes_the_stretch_that_arrived_before_the_retention(
    index: DedupIndex, age_us: int, is_kept: bool
) -> None:
    """The clock is the latest arrival; noon begins a stretch of three hours, a sixteenth of two days."""
    index.add([arrived(2, NOON_US - age_us)], {})
    index.add([arrived(1, NOON_US)], {})
    assert sweep_all(index) == (0 if is_kept else 1)
    assert known(index, range(3)) == ([1, 2] if is_kept else [1])
    if is_kept:
        assert index.complete_from_us == 0
    else:
        assert NOON_US - age_us < index.complete_from_us <= NOON_US - 2 * DAY_US


def test_sweep_keeps_a_stretch_of_which_a_part_is_in_the_retention(index: DedupIndex) -> None:
    """What arrived in the hours before is kept along with it, until the last of it is too old."""
    index.add([arrived(1, NOON_US), arrived(2, NOON_US + 2 * HOUR_US)], {})
    index.add([arrived(3, NOON_US + 2 * DAY_US + 2 * HOUR_US)], {})
    assert sweep_all(index) == 0
    index.add([arrived(4, NOON_US + 2 * DAY_US + 3 * HOUR_US)], {})
    assert sweep_all(index) == 2
    assert known(index, range(5)) == [3, 4]
    assert index.complete_from_us == NOON_US + 3 * HOUR_US


def test_arrival_before_the_retention_is_kept_as_of_its_begin(index: DedupIndex) -> None:
    """However old arrivals are, they begin no stretches of their own."""
    index.add([arrived(1, NOON_US)], {})
    index.add([arrived(n, NOON_US - n * DAY_US) for n in range(3, 40)], {})
    assert sweep_all(index) == 0
    assert known(index, range(40)) == [1, *range(3, 40)]
    index.add([arrived(2, NOON_US + 3 * HOUR_US)], {})
    assert sweep_all(index) == 37


def test_arrival_before_1970_is_kept_as_of_then(index: DedupIndex) -> None:
    """A test clock may stand anywhere, and what was stored must be known."""
    index.add([arrived(1, -5 * DAY_US)], {0: 1})
    index.add([arrived(2, -4 * DAY_US)], {0: 2})
    assert known(index, range(4)) == [1, 2]
    index.add([arrived(3, NOON_US)], {0: 3})
    assert sweep_all(index) == 2


def test_sweep_deletes_one_run_at_a_time(index: DedupIndex) -> None:
    """A call is bounded whatever is due, and the index is complete from behind what is gone."""
    for days in (12, 11, 10):
        index.add([arrived(days * 10 + n, NOON_US - days * DAY_US) for n in range(days)], {})
    index.add([arrived(1, NOON_US)], {})
    assert [index.sweep() for _ in range(4)] == [12, 11, 10, 0]
    assert known(index, range(200)) == [1]
    assert index.complete_from_us == NOON_US - 10 * DAY_US + 3 * HOUR_US


def test_sweep_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What is due is known from the disk alone."""
    index = DedupIndex(tmp_path / "index", retention_days=2)
    for days in (12, 11):
        index.add([arrived(days, NOON_US - days * DAY_US)], {})
    index.add([arrived(1, NOON_US)], {})
    assert index.sweep() == 1
    index.close()
    index = DedupIndex(tmp_path / "index", retention_days=2)
    assert known(index, range(20)) == [1, 11]
    assert index.complete_from_us == NOON_US - 12 * DAY_US + 3 * HOUR_US
    assert sweep_all(index) == 1
    index.close()


def test_sweep_that_fails_deletes_nothing(monkeypatch: pytest.MonkeyPatch, index: DedupIndex) -> None:
    """Entries never go without the note that says from when on the index is complete."""

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    index.add([arrived(1, NOON_US - 30 * DAY_US)], {})
    index.add([arrived(2, NOON_US)], {})
    with monkeypatch.context() as broken:
        broken.setattr(index, "_raise_complete_from", fail)
        with pytest.raises(OSError, match="no space"):
            index.sweep()
    assert known(index, range(3)) == [1, 2]
    assert index.complete_from_us == 0
    assert sweep_all(index) == 1
    assert known(index, range(3)) == [2]


def test_sweep_with_a_longer_retention_does_not_forget_what_is_gone(tmp_path: Path) -> None:
    """A setting that was raised brings no entry back: the index goes on to ask for older events."""
    index = DedupIndex(tmp_path / "index", retention_days=2)
    index.add([arrived(1, NOON_US - 30 * DAY_US)], {})
    index.add([arrived(2, NOON_US)], {})
    assert sweep_all(index) == 1
    complete_from_us = index.complete_from_us
    index.close()
    index = DedupIndex(tmp_path / "index", retention_days=45)
    assert sweep_all(index) == 0
    assert index.complete_from_us == complete_from_us == NOON_US - 30 * DAY_US + 3 * HOUR_US
    index.close()


def test_index_with_another_retention_finds_what_it_held(tmp_path: Path) -> None:
    """Stretches become longer or shorter; runs that were begun stay what they are, and go in their time."""
    for number, days in enumerate((2, 45, 1)):
        index = DedupIndex(tmp_path / "index", retention_days=days)
        index.add([arrived(number, NOON_US + number * HOUR_US)], {})
        assert known(index, range(9)) == list(range(number + 1))
        index.close()
    index = DedupIndex(tmp_path / "index", retention_days=1)
    index.add([arrived(3, NOON_US + 8 * DAY_US)], {})
    assert sweep_all(index) == 3
    index.close()


def test_sync_from_store_fetches_only_what_the_retention_reaches(index: DedupIndex) -> None:
    """What is older is left out, and the index says so; the checkpoint passes it all the same."""
    stored = Stored([(arrived(1, NOON_US - 3 * DAY_US), 0), (arrived(2, NOON_US), 1)], [(arrived(3, NOON_US), 2)])
    assert index.sync_from_store(7, stored) == 2
    assert stored.asked == [(7, 0, NOON_US - 2 * DAY_US)]
    assert known(index, range(4)) == [2, 3]
    assert index.complete_from_us == NOON_US - 2 * DAY_US
    assert index.checkpoint(7) == 3


def test_sync_from_store_of_a_quiet_partition_goes_by_the_latest_arrival(index: DedupIndex) -> None:
    """All that the partition has is older than the retention of the others reaches: nothing is fetched."""
    index.add([arrived(9, NOON_US)], {})
    assert index.sync_from_store(7, Stored([(arrived(1, NOON_US - 3 * DAY_US), 4)])) == 0
    assert index.complete_from_us == NOON_US - 2 * DAY_US
    assert index.checkpoint(7) == 5


def test_sweep_keeps_the_index_within_its_bound(tmp_path: Path) -> None:
    """A stretch more than the retention, and the hour that is told apart; pages of what is gone are used again."""
    index = DedupIndex(tmp_path / "index", retention_days=5)
    random, offsets = Random(5), count(1)
    events_a_batch, batches_a_day = 2_000, 10
    sizes = []
    for day in range(40):
        for batch in range(batches_a_day):
            at_us = NOON_US + day * DAY_US + batch * DAY_US // batches_a_day
            index.add(
                [IndexEntry(random.randbytes(16), 5, at_us) for _ in range(events_a_batch)], {0: next(offsets)}
            )
            index.sweep()
        sizes.append(index.size())
    index.close()
    hours = 5 * 24 + 5 * 24 // STRETCHES + 1
    assert max(size.entries for size in sizes) <= hours / 24 * batches_a_day * events_a_batch
    assert sizes[-1].file_bytes <= 1.25 * sizes[10].file_bytes
    assert sizes[-1].file_bytes == (tmp_path / "index" / "data.mdb").stat().st_size
