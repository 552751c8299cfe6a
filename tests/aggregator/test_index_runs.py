"""Runs of the dedup index: their pieces and their filters, over stops and restarts."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import index_runs
from aggregator.index import DedupIndex, IndexEntry
from tests.aggregator.stream import NOON_US

HOUR_US = 3600 * 1_000_000
STRETCH_US = 67 * HOUR_US
"""A sixteenth of 45 days, in whole hours."""
RUN_ENTRIES = 10


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of ten entries, two of them a group."""
    monkeypatch.setattr(index_runs, "RUN_ENTRIES_MIN", RUN_ENTRIES)
    monkeypatch.setattr(index_runs, "GROUP_RUNS", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of an index."""
    return tmp_path / "index"


def opened(folder: Path) -> DedupIndex:
    return DedupIndex(folder, retention_days=45)


def entries(numbers: Sequence[int], at_us: int = NOON_US, fingerprint: int = 5) -> list[IndexEntry]:
    return [IndexEntry(Random(n).randbytes(16), fingerprint, at_us) for n in numbers]


def known(index: DedupIndex, numbers: Sequence[int]) -> list[int]:
    """Those numbers whose entries the index finds."""
    ids = [entry.event_id for entry in entries(numbers)]
    found = index.lookup(ids)
    return [number for number, event_id in zip(numbers, ids, strict=True) if event_id in found]


def rows(folder: Path, table: bytes) -> int:
    """Rows of a table of a closed index."""
    with lmdb.open(str(folder), max_dbs=4, readonly=True) as env:
        tree = env.open_db(table, create=False)
        with env.begin() as transaction:
            return int(transaction.stat(tree)["entries"])


def test_full_run_is_followed_by_the_next(folder: Path) -> None:
    """A batch goes into one run, also the one that fills it; all entries are found, over a restart too."""
    index = opened(folder)
    for first in range(0, 40, 8):
        index.add(entries(range(first, first + 8)), {0: first + 8})
    assert known(index, range(50)) == list(range(40))
    assert index.size().entries == 40
    index.close()
    assert rows(folder, b"runs") == 3
    index = opened(folder)
    assert known(index, range(50)) == list(range(40))
    assert (index.size().entries, index.checkpoint(0)) == (40, 40)
    index.close()


def test_runs_of_a_large_index_take_a_share_of_it(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A half of all here: few runs, however many entries."""
    monkeypatch.setattr(index_runs, "RUN_SHARE", 2)
    index = opened(folder)
    for first in range(0, 2_000, 5):
        index.add(entries(range(first, first + 5)), {})
    assert len(known(index, range(2_000))) == 2_000
    index.close()
    assert rows(folder, b"runs") < 30


def test_entry_known_to_an_earlier_run_keeps_its_first_fingerprint(folder: Path) -> None:
    """A rebuild that was cut short may bring an entry twice."""
    index = opened(folder)
    index.add(entries(range(10), fingerprint=1), {})
    index.add(entries(range(5, 15), fingerprint=2), {})
    found = index.lookup([each.event_id for each in entries(range(15))])
    assert [found[each.event_id] for each in entries(range(15))] == [1] * 10 + [2] * 5
    index.close()


def test_full_run_is_one_piece(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """However small the batches it was filled with; before, its pieces are few."""
    monkeypatch.setattr(index_runs, "RUN_ENTRIES_MIN", 1_000)
    index = opened(folder)
    pieces = []
    for n in range(1_000):
        index.add(entries([n]), {})
        if n in {62, 126, 511, 998, 999}:
            index.close()
            pieces.append(rows(folder, b"pieces"))
            index = opened(folder)
            assert len(known(index, range(n + 1))) == n + 1
    assert pieces == [6, 7, 1, 8, 1]
    index.close()


def test_larger_batch_takes_in_the_pieces_before_it(folder: Path) -> None:
    """As long as they are no larger than what came together so far; a smaller one leaves them alone."""
    index = opened(folder)
    for numbers, pieces in ((range(4), 1), (range(4, 6), 2), (range(6, 7), 3), (range(7, 9), 1)):
        index.add(entries(numbers), {})
        index.close()
        assert rows(folder, b"pieces") == pieces
        index = opened(folder)
    assert known(index, range(12)) == list(range(9))
    index.close()


def test_runs_of_a_group_are_found_when_others_are_gone(folder: Path) -> None:
    """Those that go take nothing of their neighbours along; the numbers that come next begin no stale group."""
    index = opened(folder)
    for n in range(3):
        index.add(entries([n], NOON_US + n * STRETCH_US), {})
    for n in range(4, 8):
        index.add(entries([n], NOON_US + 60 * STRETCH_US), {})
        assert index.sweep() == (1 if n < 7 else 0)
    assert known(index, range(10)) == [4, 5, 6, 7]
    index.add(entries([8], NOON_US + 61 * STRETCH_US), {})
    for _ in range(2):
        assert known(index, range(10)) == [4, 5, 6, 7, 8]
        index.close()
        index = opened(folder)
    index.close()


def test_run_begun_in_a_transaction_that_did_not_fit_is_begun_again(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """A full map doubles, and everything is done again, whole."""
    monkeypatch.setattr("aggregator.index.MAP_BYTES_MIN", 128 * 1024)
    index = opened(folder)
    for first in range(0, 6_000, 1_000):
        index.add(entries(range(first, first + 1_000)), {0: first})
    assert known(index, range(6_010)) == list(range(6_000))
    index.close()
    assert rows(folder, b"runs") == 6


def test_expired_run_leaves_nothing_behind(folder: Path) -> None:
    """Neither its row nor its pieces."""
    index = opened(folder)
    for n in range(3):
        index.add(entries([n], NOON_US + n * STRETCH_US), {})
        index.add(entries([10 + n, 20 + n, 30 + n], NOON_US), {})
    index.add(entries([9], NOON_US + 60 * STRETCH_US), {})
    while index.sweep():
        pass
    assert known(index, range(40)) == [9]
    index.close()
    assert (rows(folder, b"runs"), rows(folder, b"pieces")) == (1, 1)


def test_write_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Neither a run nor a checkpoint; the next write begins the run."""
    index = opened(folder)
    with monkeypatch.context() as broken:
        broken.setattr(index, "_raise_checkpoint", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index.add(entries(range(8)), {0: 8})
    assert (known(index, range(8)), index.size().entries, index.checkpoint(0)) == ([], 0, 0)
    index.add(entries(range(4)), {0: 4})
    assert (known(index, range(8)), index.size().entries, index.checkpoint(0)) == ([0, 1, 2, 3], 4, 4)
    index.close()


_steps: st.SearchStrategy[tuple[str, list[int], int]] = st.one_of(
    st.tuples(st.just("add"), st.lists(st.integers(0, 60), max_size=12), st.integers(-20, 3)),
    st.tuples(st.just("sweep"), st.just([]), st.just(0)),
    st.tuples(st.just("restart"), st.just([]), st.just(0)),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(_steps, max_size=25))
def test_index_knows_all_that_arrived_in_the_retention(steps: list[tuple[str, list[int], int]]) -> None:
    """In any order of arrivals, sweeps and restarts; and nothing that did not arrive."""
    with TemporaryDirectory() as folder:
        index = opened(Path(folder) / "index")
        arrivals: dict[int, int] = {}
        latest_us = 0
        for step, numbers, stretches in steps:
            match step:
                case "add":
                    at_us = NOON_US + stretches * STRETCH_US
                    index.add(entries(numbers, at_us), {})
                    arrivals.update((n, max(at_us, arrivals.get(n, 0))) for n in numbers)
                    latest_us = max(latest_us, at_us) if numbers else latest_us
                case "sweep":
                    index.sweep()
                case "restart":
                    index.close()
                    index = opened(Path(folder) / "index")
            found = set(known(index, range(70)))
            must = {n for n, at_us in arrivals.items() if at_us >= latest_us - 45 * 24 * HOUR_US}
            assert must <= found <= set(arrivals)
            assert all(arrivals[n] < index.complete_from_us for n in set(arrivals) - found)
        index.close()
