"""The dedup index beside one tree of LMDB and RocksDB: `python -m tests.bench.index_stores --keys 50_000_000`.

Each store is filled in a process of its own with random keys of 16 bytes and values of 8 or 12, in batches as the
pipeline writes them: look the whole batch up, put what is absent, commit. At 1 M, 10 M and 50 M keys it is
measured with further batches, some put in the order of their keys and some as they come. Everything is kept in a
temporary directory, which is removed.

RocksDB is measured through `rocksdict`, which Millrace does not depend on: install it to measure it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any, Protocol

import lmdb

from aggregator.index import DedupIndex, IndexEntry

BATCH_KEYS = 50_000
MARKS = (1_000_000, 10_000_000, 50_000_000)
MEASURED_BATCHES = 6
VALUE = bytes(12)
RETENTION_DAYS = 45
FIRST_ARRIVAL_US = 1_790_000_000_000_000
BATCH_US = 10_000_000
LMDB_MAP_BYTES = 64 * 1024**3
ROCKSDB_BLOCK_CACHE_BYTES = 256 * 1024**2
ROCKSDB_BLOOM_BITS = 10.0

Batch = Sequence[bytes]


class KeyStore(Protocol):
    """A store under measurement."""

    def lookup(self, keys: Batch) -> int:
        """How many of the keys it has."""
        ...

    def put(self, keys: Batch) -> None:
        """Put keys that are absent, with a checkpoint, and commit."""
        ...

    def close(self) -> None: ...


class IndexStore:
    """The dedup index itself. A batch arrives ten seconds after the one before."""

    def __init__(self, path: Path) -> None:
        self._index = DedupIndex(path, retention_days=RETENTION_DAYS)
        self._batches = 0

    def lookup(self, keys: Batch) -> int:
        return len(self._index.lookup(keys))

    def put(self, keys: Batch) -> None:
        self._batches += 1
        arrived_us = FIRST_ARRIVAL_US + self._batches * BATCH_US
        self._index.add([IndexEntry(key, 0, arrived_us) for key in keys], {0: self._batches})
        self._index.sweep()

    def close(self) -> None:
        self._index.close()


class LmdbStore:
    """All keys in one tree, opened as the index opens its own: all of a commit is on disk but the meta page."""

    def __init__(self, path: Path) -> None:
        self._env = lmdb.open(str(path), map_size=LMDB_MAP_BYTES, max_dbs=2, metasync=False)
        self._events = self._env.open_db(b"events")
        self._checkpoints = self._env.open_db(b"checkpoints")

    def lookup(self, keys: Batch) -> int:
        with self._env.begin() as transaction, transaction.cursor(self._events) as cursor:
            return len(cursor.getmulti(keys))

    def put(self, keys: Batch) -> None:
        with self._env.begin(write=True) as transaction:
            with transaction.cursor(self._events) as cursor:
                cursor.putmulti([(key, VALUE) for key in keys], overwrite=False)
            transaction.put(b"0000", keys[0], db=self._checkpoints)

    def close(self) -> None:
        self._env.close()


class RocksDbStore:
    """Bloom filters, no compression of what is random, a write-ahead log without a sync.

    A power cut takes back its last batches, whole: what the index may lose.
    """

    def __init__(self, path: Path) -> None:
        self._rocksdict = import_rocksdict()
        self._db = self._rocksdict.Rdict(str(path), options=self._options())

    def lookup(self, keys: Batch) -> int:
        return sum(value is not None for value in self._db.get(list(keys)))

    def put(self, keys: Batch) -> None:
        writes = self._rocksdict.WriteBatch(raw_mode=True)
        for key in keys:
            writes.put(key, VALUE)
        writes.put(b"checkpoint", keys[0])
        self._db.write(writes)

    def close(self) -> None:
        self._db.close()

    def _options(self) -> Any:
        rocksdict = self._rocksdict
        table = rocksdict.BlockBasedOptions()
        table.set_bloom_filter(ROCKSDB_BLOOM_BITS, False)
        table.set_block_cache(rocksdict.Cache(ROCKSDB_BLOCK_CACHE_BYTES))
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = rocksdict.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(rocksdict.DBCompressionType.none())
        options.set_max_background_jobs(2)
        return options


STORES: Mapping[str, Callable[[Path], KeyStore]] = {
    "index": IndexStore,
    "lmdb": LmdbStore,
    "rocksdb": RocksDbStore,
}


def import_rocksdict() -> Any:
    """The driver of RocksDB. Raises: SystemExit, saying what to install."""
    try:
        import rocksdict  # noqa: PLC0415 - only who measures RocksDB needs it
    except ImportError:
        raise SystemExit("RocksDB is measured through rocksdict: pip install rocksdict") from None
    return rocksdict


@dataclass(frozen=True, slots=True)
class Figures:
    """What a store did at so many keys; rates in thousand keys a second of wall time, sizes in MB."""

    store: str
    keys: int
    put_if_absent_sorted: float
    put_if_absent_unsorted: float
    cpu_us_per_key_sorted: float
    cpu_us_per_key_unsorted: float
    lookup_known: float
    lookup_unknown: float
    disk_mb: float
    rss_mb: float
    rss_anonymous_mb: float
    open_ms: float
    rebuild_seconds: float
    """All puts so far, without lookups: what a rebuild costs beside reading ClickHouse."""


def batch_of(number: int) -> list[bytes]:
    """The keys of a batch: random, and the same each time."""
    raw = Random(number).randbytes(16 * BATCH_KEYS)
    return [raw[start : start + 16] for start in range(0, len(raw), 16)]


def fill(store_name: str, path: Path, keys: int) -> Iterator[Figures]:
    """Fill a store and measure it at each mark up to `keys`."""
    open_store = STORES[store_name]
    store = open_store(path)
    put_seconds, batches = 0.0, 0
    for mark in [mark for mark in MARKS if mark < keys] + [keys]:
        while batches * BATCH_KEYS < mark:
            batch = sorted(batch_of(batches))
            started = perf_counter()
            store.put(batch)
            put_seconds += perf_counter() - started
            batches += 1
        store.close()
        started = perf_counter()
        store = open_store(path)
        store.lookup(batch_of(0)[:1])
        open_ms = (perf_counter() - started) * 1000
        yield measure(store, store_name, path, batches, open_ms, put_seconds)
        batches += 2 * MEASURED_BATCHES
    store.close()


def measure(
    store: KeyStore, store_name: str, path: Path, batches: int, open_ms: float, put_seconds: float
) -> Figures:
    """Measure a store that holds the first `batches` batches; it holds some more afterwards."""
    disk_mb = sum(file.stat().st_blocks * 512 for file in path.iterdir()) / 1e6
    known = [batch_of(number * batches // MEASURED_BATCHES) for number in range(MEASURED_BATCHES)]
    fresh = [batch_of(batches + number) for number in range(2 * MEASURED_BATCHES)]
    found = sum(map(store.lookup, known))
    assert found == MEASURED_BATCHES * BATCH_KEYS, found
    known_rate, _ = rate_of(known, store.lookup)
    unknown_rate, _ = rate_of(fresh[:MEASURED_BATCHES], store.lookup)

    def put_if_absent(batch: Batch) -> None:
        assert store.lookup(batch) == 0
        store.put(batch)

    sorted_rate, sorted_cpu = rate_of(fresh[::2], lambda batch: put_if_absent(sorted(batch)))
    unsorted_rate, unsorted_cpu = rate_of(fresh[1::2], put_if_absent)
    return Figures(
        store=store_name,
        keys=batches * BATCH_KEYS,
        put_if_absent_sorted=sorted_rate,
        put_if_absent_unsorted=unsorted_rate,
        cpu_us_per_key_sorted=sorted_cpu,
        cpu_us_per_key_unsorted=unsorted_cpu,
        lookup_known=known_rate,
        lookup_unknown=unknown_rate,
        disk_mb=disk_mb,
        rss_mb=memory_mb("VmRSS"),
        rss_anonymous_mb=memory_mb("RssAnon"),
        open_ms=open_ms,
        rebuild_seconds=put_seconds,
    )


def rate_of(batches: Sequence[Batch], work: Callable[[Batch], object]) -> tuple[float, float]:
    """Thousand keys a second, and microseconds of processor time a key."""
    wall, cpu = perf_counter(), process_time()
    for batch in batches:
        work(batch)
    keys = len(batches) * BATCH_KEYS
    return keys / (perf_counter() - wall) / 1000, (process_time() - cpu) / keys * 1e6


def memory_mb(name: str) -> float:
    """A figure of this process, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def table(rows: Sequence[Figures]) -> str:
    """The figures as a Markdown table, a column a store and mark."""
    ordered = sorted(rows, key=lambda row: (row.keys, row.store))
    head = "| | " + " | ".join(f"{row.store} {row.keys / 1e6:.0f} M" for row in ordered) + " |"
    lines = [head, "|---" * (len(ordered) + 1) + "|"]
    for field in fields(Figures)[2:]:
        cells = " | ".join(f"{getattr(row, field.name):,.1f}" for row in ordered)
        lines.append(f"| {field.name} | {cells} |")
    return "\n".join(lines)


def run_child(store: str, keys: int, directory: str | None) -> list[Figures]:
    """Measure a store in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="millrace-index-", dir=directory) as path:
        command = [sys.executable, "-m", "tests.bench.index_stores", "--only", store, "--keys", str(keys)]
        with subprocess.Popen([*command, "--directory", path], stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout or ():
                print(line, end="", file=sys.stderr, flush=True)
                rows.append(Figures(**json.loads(line)))
    if child.returncode:
        raise SystemExit(f"{store} could not be measured")
    return rows


def main() -> None:
    """Measure the stores one after the other, or the one that is named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; may be repeated")
    parser.add_argument("--directory", help="where the temporary directory is made")
    parser.add_argument("--only", choices=STORES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        for figures in fill(options.only, Path(options.directory), options.keys):
            print(json.dumps(asdict(figures)), flush=True)
        return
    stores = options.store or STORES
    if "rocksdb" in stores:
        import_rocksdict()
    rows = [row for store in stores for row in run_child(store, options.keys, options.directory)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, lmdb {lmdb.version()}"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
