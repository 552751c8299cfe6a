"""The dedup index on disk."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import lmdb
import pytest

from aggregator import index as index_module
from aggregator.index import DedupIndex, IndexEntry, IndexInUse, StoredSpan
from tests.aggregator.stream import NOON_US

DAY_US = 86_400 * 1_000_000


def entry(number: int, fingerprint: int = 5) -> IndexEntry:
    return IndexEntry(number.to_bytes(16, "little"), fingerprint, NOON_US)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[DedupIndex]:
    index = DedupIndex(tmp_path / "index", retention_days=45)
    yield index
    index.close()


def test_lookup_gives_fingerprints_of_known_events_only(index: DedupIndex) -> None:
    """The largest fingerprint survives; an unknown id is not in the answer."""
    index.add([entry(1, 2**63 - 1), entry(2, 0)], {})
    found = index.lookup([entry(n).event_id for n in (1, 2, 3)])
    assert found == {entry(1).event_id: 2**63 - 1, entry(2).event_id: 0}


def test_add_known_event_keeps_the_first_fingerprint(index: DedupIndex) -> None:
    """The first event of an id stands."""
    index.add([entry(1, 7)], {})
    index.add([entry(1, 8)], {})
    assert index.lookup([entry(1).event_id]) == {entry(1).event_id: 7}


def test_add_checkpoint_never_moves_back(index: DedupIndex) -> None:
    """A replay from offset 0 does not unlearn anything; partitions are independent."""
    index.add([], {3: 100})
    index.add([], {3: 10, 4: 1})
    assert (index.checkpoint(3), index.checkpoint(4), index.checkpoint(5)) == (100, 1, 0)


def test_index_of_another_layout_begins_anew(tmp_path: Path) -> None:
    """Its checkpoints would say that its entries are here; what it held is fetched from ClickHouse again."""
    (tmp_path / "index").mkdir()
    env = lmdb.open(str(tmp_path / "index"), max_dbs=3)
    with env.begin(write=True) as transaction:
        transaction.put(
            (3).to_bytes(4, "big"), (100).to_bytes(8, "big"), db=env.open_db(b"checkpoints", transaction)
        )
        transaction.put(entry(1).event_id, bytes(12), db=env.open_db(b"events", transaction))
    env.close()
    for _ in range(2):
        index = DedupIndex(tmp_path / "index", retention_days=45)
        assert (index.checkpoint(3), index.size().entries) == (0, 0)
        index.close()


def test_index_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    """The filters of one would not know what another one adds: it would count that twice."""
    folder = tmp_path / "index"
    open_it = f"from pathlib import Path; from aggregator import index; index.DedupIndex(Path({str(folder)!r}), "
    open_it += "retention_days=45)"
    index = DedupIndex(folder, retention_days=45)
    with pytest.raises(IndexInUse, match=re.escape(f"the index in {folder} is in use by another process")):
        DedupIndex(folder, retention_days=45)
    other = subprocess.run([sys.executable, "-c", open_it], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "IndexInUse" in other.stderr
    index.close()
    subprocess.run([sys.executable, "-c", open_it], check=True)
    DedupIndex(folder, retention_days=45).close()


def test_add_past_the_map_size_grows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full map doubles and the transaction is done again, whole."""
    monkeypatch.setattr(index_module, "MAP_BYTES_MIN", 256 * 1024)
    index = DedupIndex(tmp_path / "small", retention_days=45)
    index.add([entry(n) for n in range(50_000)], {0: 1})
    assert len(index.lookup([entry(n).event_id for n in range(50_000)])) == 50_000
    assert index.checkpoint(0) == 1
    index.close()


class Stored:
    """What a store says of a partition; each block may be an error."""

    def __init__(self, *blocks: Sequence[tuple[IndexEntry, int]] | Exception) -> None:
        self.blocks = blocks
        self.asked: list[tuple[int, int, int]] = []

    def stored_span(self, partition: int, offset: int) -> StoredSpan | None:
        rows = [row for block in self.blocks if not isinstance(block, Exception) for row in block]
        if not rows:
            return None
        arrivals = [entry.ingested_at_us for entry, _ in rows]
        return StoredSpan(max(offset for _, offset in rows) + 1, min(arrivals), max(arrivals))

    def stored_since(
        self, partition: int, offset: int, arrived_from_us: int
    ) -> Iterator[Sequence[tuple[IndexEntry, int]]]:
        self.asked.append((partition, offset, arrived_from_us))
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield [row for row in block if row[0].ingested_at_us >= arrived_from_us]


def test_sync_from_store_asks_above_the_checkpoint_and_moves_it(index: DedupIndex) -> None:
    """Blocks come in no order; the checkpoint is one past the highest offset."""
    stored = Stored([(entry(1), 9), (entry(2), 5)], [], [(entry(3), 7)])
    assert index.sync_from_store(2, stored) == 3
    assert index.sync_from_store(2, Stored()) == 0
    assert stored.asked == [(2, 0, NOON_US - 45 * DAY_US)]
    assert index.checkpoint(2) == 10
    assert len(index.lookup([entry(n).event_id for n in (1, 2, 3)])) == 3
    assert index.complete_from_us == 0


def test_sync_from_store_cut_short_leaves_the_checkpoint(index: DedupIndex) -> None:
    """Entries that came are right; the rest is fetched by the next sync."""
    with pytest.raises(ConnectionError):
        index.sync_from_store(2, Stored([(entry(1), 9)], ConnectionError("cut")))
    assert index.checkpoint(2) == 0
    assert index.lookup([entry(1).event_id]) == {entry(1).event_id: 5}
