"""What ingest and the aggregator know of the catalog: whose key it is, and how a code is measured.

The invoicer publishes a snapshot in the transaction that changes the catalog; readers keep it in memory.
"""

import threading
from collections.abc import Callable
from hashlib import sha256

import msgspec

from schemas.metrics import MetricDefinition, MetricEvaluator


class CatalogSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The catalog at one version. `api_keys` maps the SHA-256 of a key (hex) to its organization."""

    version: int
    api_keys: dict[str, str] = {}
    metrics: tuple[MetricDefinition, ...] = ()


EMPTY_CATALOG = CatalogSnapshot(version=0)

LoadSnapshot = Callable[[int], CatalogSnapshot | None]
"""Given the version known, the newer snapshot or None; blocking; raises TransientError when it cannot tell."""


def hash_api_key(key: str) -> str:
    """How a key is stored: only its hash."""
    return sha256(key.encode()).hexdigest()


class CatalogCache:
    """The newest snapshot seen. Look-ups never do I/O; `refresh` does, and a caller refreshes on a miss."""

    def __init__(self, load: LoadSnapshot) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._install(EMPTY_CATALOG)

    def _install(self, snapshot: CatalogSnapshot) -> None:
        self._evaluators = {(m.organization_id, m.code): MetricEvaluator(m) for m in snapshot.metrics}
        self._api_keys = snapshot.api_keys
        self._version = snapshot.version

    @property
    def version(self) -> int:
        """The version of the snapshot in memory; 0 before the first one."""
        return self._version

    def refresh(self) -> bool:
        """Fetch a newer snapshot if there is one; True when there was. Blocking.

        Raises: TransientError when the catalog cannot be reached; the old snapshot stays in use.
        """
        with self._lock:
            snapshot = self._load(self._version)
            if snapshot is None:
                return False
            self._install(snapshot)
            return True

    def organization_of(self, api_key: str) -> str | None:
        """The organization that owns `api_key`, as far as this snapshot knows."""
        return self._api_keys.get(hash_api_key(api_key))

    def evaluator(self, organization_id: str, code: str) -> MetricEvaluator | None:
        """How events with `code` are measured, as far as this snapshot knows."""
        return self._evaluators.get((organization_id, code))


def encode_snapshot(snapshot: CatalogSnapshot) -> str:
    """The document the invoicer publishes."""
    return msgspec.json.encode(snapshot).decode()


def decode_snapshot(document: str) -> CatalogSnapshot:
    """The snapshot of a published document."""
    return msgspec.json.decode(document, type=CatalogSnapshot)
