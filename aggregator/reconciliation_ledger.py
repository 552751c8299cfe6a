"""What the reconciler found, by organization: kept in memory, since any check can be made again."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.reconciliation import Reconciliation, ReconciliationReport


@dataclass
class _Totals:
    found: int = 0
    removed: int = 0


class ReconciliationLedger:
    """Keeps the last results and the running totals. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_until: datetime | None = None
        self._last: Mapping[str, Reconciliation] = {}
        self._full: dict[str, Reconciliation] = {}
        self._totals: dict[str, _Totals] = {}

    def add_repair(self, organization_id: str, *, found: int, removed: int) -> None:
        """Count what was found and removed into the totals."""
        with self._lock:
            totals = self._totals.setdefault(organization_id, _Totals())
            totals.found += found
            totals.removed += removed

    def keep_look(self, until: datetime, results: Mapping[str, Reconciliation]) -> None:
        """Remember a finished look; an organization without a result had nothing new."""
        with self._lock:
            self._looked_until, self._last = until, dict(results)

    def keep_full(self, organization_id: str, result: Reconciliation) -> None:
        """Remember a full check."""
        with self._lock:
            self._full[organization_id] = result

    def report(self, organization_id: str) -> ReconciliationReport:
        """How an organization stands."""
        with self._lock:
            totals = self._totals.get(organization_id, _Totals())
            last = self._last.get(organization_id)
            if last is None and self._looked_until is not None:
                last = Reconciliation(0, 0, 0, 0, self._looked_until)
            return ReconciliationReport(last, self._full.get(organization_id), totals.found, totals.removed)

    def difference(self) -> int:
        """What is unsettled, over all organizations."""
        with self._lock:
            return sum(each.difference for each in (*self._last.values(), *self._full.values()))
