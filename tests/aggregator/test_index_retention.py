"""The bound of the index: what the sweep deletes, what a rebuild leaves out, how large the file becomes."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from aggregator import index as index_module
from aggregator.index import DedupIndex, IndexEntry
from tests.aggregator.stream import NOON_US
from tests.aggregator.test_index import Stored

HOUR_US = 3600 * 1_000_000
DAY_US = 24 * HOUR_US


def arrived(number: int, at_us: int) -> IndexEntry:
    return IndexEntry(number.to_bytes(16, "big"), 5, at_us)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[DedupIndex]:
    """An index that remembers two days."""
    index = DedupIndex(tmp_path / "index", retention_days=2)
    yield index
    index.close()


def known(index: DedupIndex, numbers: range) -> list[int]:
    found = index.lookup([number.to_bytes(16, "big") for number in numbers])
    return sorted(int.from_bytes(event_id, "big") for event_id in found)


def sweep_all(index: DedupIndex) -> int:
    return sum(index.sweep(0) for _ in range(100))


@pytest.mark.parametrize(
    ("age_us", "is_kept"),
    [(0, True), (2 * DAY_US, True), (2 * DAY_US + HOUR_US, False), (40 * DAY_US, False)],
)
def test_sweep_deletes_what_arrived_in_an_hour_before_the_retention(
    index: DedupIndex, age_us: int, is_kept: bool
) -> None:
    """The clock is the latest arrival, and arrivals are told apart by the hour."""
    index.add([arrived(1, NOON_US), arrived(2, NOON_US - age_us)], {})
    assert sweep_all(index) == (0 if is_kept else 1)
    assert known(index, range(3)) == ([1, 2] if is_kept else [1])
    assert index.complete_from_us == (0 if is_kept else NOON_US - 2 * DAY_US)


def test_arrival_before_1970_is_kept_as_of_then(index: DedupIndex) -> None:
    """A test clock may stand anywhere, and what was stored must be known."""
    index.add([arrived(1, -5 * DAY_US)], {0: 1})
    index.add([arrived(2, -4 * DAY_US), arrived(3, NOON_US)], {0: 2})
    assert known(index, range(4)) == [1, 2, 3]
    assert sweep_all(index) == 2


def test_sweep_looks_at_so_many_keys_at_once(monkeypatch: pytest.MonkeyPatch, index: DedupIndex) -> None:
    """A step is bounded whatever is due, and larger after a larger batch."""
    monkeypatch.setattr(index_module, "SWEEP_KEYS_MIN", 10)
    index.add([arrived(n, NOON_US - 30 * DAY_US) for n in range(100)], {})
    index.add([arrived(100, NOON_US)], {})
    assert [index.sweep(0), index.sweep(5), index.sweep(0)] == [10, 30, 10]
    assert known(index, range(101)) == list(range(50, 101))


def test_sweep_waits_until_a_pass_is_due(index: DedupIndex) -> None:
    """After a pass, nothing is looked at for a sixteenth of the retention: three hours of two days."""
    index.add([arrived(1, NOON_US - 2 * DAY_US), arrived(2, NOON_US)], {})
    assert sweep_all(index) == 0
    index.add([arrived(3, NOON_US + 2 * HOUR_US)], {})
    assert sweep_all(index) == 0
    index.add([arrived(4, NOON_US + 3 * HOUR_US)], {})
    assert sweep_all(index) == 1
    assert known(index, range(5)) == [2, 3, 4]


def test_sweep_goes_on_where_it_was_after_a_restart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pass that a stop cut short is finished, under the horizon it began with."""
    monkeypatch.setattr(index_module, "SWEEP_KEYS_MIN", 10)
    index = DedupIndex(tmp_path / "index", retention_days=2)
    index.add([arrived(n, NOON_US - 30 * DAY_US) for n in range(25)], {})
    index.add([arrived(99, NOON_US)], {})
    assert index.sweep(0) == 10
    index.close()
    index = DedupIndex(tmp_path / "index", retention_days=2)
    assert (index.complete_from_us, index.sweep(0), index.sweep(0)) == (NOON_US - 2 * DAY_US, 10, 5)
    index.close()


def test_sweep_that_fails_deletes_nothing(monkeypatch: pytest.MonkeyPatch, index: DedupIndex) -> None:
    """Entries never go without the note that says from when on the index is complete."""

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    index.add([arrived(1, NOON_US - 30 * DAY_US), arrived(2, NOON_US)], {})
    with monkeypatch.context() as broken:
        broken.setattr(index, "_raise_complete_from", fail)
        with pytest.raises(OSError, match="no space"):
            index.sweep(0)
    assert known(index, range(3)) == [1, 2]
    assert index.complete_from_us == 0
    assert sweep_all(index) == 1


def test_sweep_with_a_longer_retention_does_not_forget_what_is_gone(tmp_path: Path) -> None:
    """A setting that was raised brings no entry back: the index goes on to ask for older events."""
    index = DedupIndex(tmp_path / "index", retention_days=2)
    index.add([arrived(1, NOON_US - 30 * DAY_US), arrived(2, NOON_US)], {})
    assert sweep_all(index) == 1
    index.close()
    index = DedupIndex(tmp_path / "index", retention_days=45)
    assert sweep_all(index) == 0
    assert index.complete_from_us == NOON_US - 2 * DAY_US
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


def test_sweep_keeps_the_file_within_a_factor_of_its_steady_state(tmp_path: Path) -> None:
    """Pages are used again: after eight times the retention the file is hardly larger than after two.

    The figure of entries is the documented one: 1.42 times what arrives in the retention.
    """
    index = DedupIndex(tmp_path / "index", retention_days=5)
    random, offsets = Random(5), count(1)
    events_a_batch, batches_a_day = 500, 40
    sizes = []
    for day in range(40):
        for batch in range(batches_a_day):
            at_us = NOON_US + day * DAY_US + batch * DAY_US // batches_a_day
            index.add(
                [IndexEntry(random.randbytes(16), 5, at_us) for _ in range(events_a_batch)], {0: next(offsets)}
            )
            index.sweep(events_a_batch)
        sizes.append(index.size())
    index.close()
    assert max(size.entries for size in sizes) <= 1.42 * 5 * batches_a_day * events_a_batch
    assert sizes[-1].file_bytes <= 1.25 * sizes[10].file_bytes
    assert sizes[-1].file_bytes == (tmp_path / "index" / "data.mdb").stat().st_size
