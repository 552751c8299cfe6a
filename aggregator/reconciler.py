"""Proves that every stored event is counted once, and repairs where it is not.

The index keeps repeats out of `events`. What it cannot keep out is written beside it: by a worker that lost its
partition and wakes up, or by an insert that lands after its rows were sent again. The reconciler finds an event
that has more than one row and removes all but the first accepted.

Durable steps of a repair, and what a crash after each means:
1. Read where the surplus rows are: their part, and their place in it. Nothing is written: safe.
2. One lightweight DELETE names exactly those places. The row that stays is never named, so no reader
   misses the event at any time; a part that was merged or rewritten since step 1 has another name, so that its
   rows are left alone and found again. ClickHouse applies it part by part and goes on after a restart: safe.
3. Look again, from step 1, until nothing is surplus.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from aggregator.clickhouse import SUBSCRIPTIONS_MAX, ClickHouse, ProjectionNotUsed, Row
from aggregator.observability import ReconcilerMetrics
from aggregator.reconciliation_ledger import ReconciliationLedger
from aggregator.reconciliation_sql import (
    NOW,
    REBUILDS_PROJECTION,
    SURPLUS_ROWS,
    StoredRow,
    delete_statement,
    period_counts_query,
    surplus_query,
    totals_queries,
    touched_query,
)
from schemas.errors import InvariantViolation, TransientError
from schemas.period import TimeRange
from schemas.reconciliation import AuditScope, Reconciliation, ReconciliationReport
from schemas.time_text import EPOCH
from schemas.usage import LOOK_OVERLAP

REPAIR_ATTEMPTS_MAX = 3
"""Rounds of a repair that may change nothing, because merges moved the rows, before it is given up."""
COMPARE_ATTEMPTS_MAX = 4
"""Comparisons with the projection: rows that arrive between its two queries look like a difference once."""
TURN_SECONDS_MAX = 30.0

Turn = Callable[[], AbstractContextManager[object]]
"""Entered, no other process reconciles; raises TransientError when another one does for too long."""
Subscription = tuple[str, str]
"""Organization and external subscription id."""
Place = tuple[str, str, str, int]
"""Organization, external subscription id, code and month."""

_Item = TypeVar("_Item")
_BEFORE_ALL: Subscription = ("", "")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Window:
    """Rows stored within [since, until), and how far they have been looked at."""

    since: datetime
    until: datetime
    organization_id: str | None = None
    after: Subscription = _BEFORE_ALL
    results: Mapping[str, Reconciliation] = field(default_factory=dict)

    @property
    def is_everything(self) -> bool:
        return self.since == EPOCH

    def parameters(self) -> dict[str, object]:
        return {"since": self.since, "until": self.until}


@dataclass(frozen=True)
class _Chunk:
    """Subscriptions with rows in the window: how many rows, by organization, and in which months."""

    subscriptions: tuple[Subscription, ...]
    rows: Mapping[str, int]
    months: tuple[int, ...]


class Reconciler:
    """Looks at what was stored since the last look, at everything on demand, at a period before it is billed.

    Safe to share between threads; one repair at a time.
    """

    def __init__(
        self, clickhouse: ClickHouse, observed: ReconcilerMetrics, *, turn: Turn, lookback_seconds: int
    ) -> None:
        self._clickhouse = clickhouse
        self._observed = observed
        self._turn = turn
        self._lookback = timedelta(seconds=lookback_seconds)
        self._lock = threading.Lock()
        self._ledger = ReconciliationLedger()
        self._since: datetime | None = None
        self._window: _Window | None = None

    def look(self) -> bool:
        """Check the next subscriptions that something was stored for; False when that was the last of them.

        Bounds:  one chunk of subscriptions a call; the first look begins `lookback_seconds` ago.
        Raises:  TransientError; the next call goes on where this one began.
        """
        with self._alone():
            window = self._window or self._next_window()
            self._window = self._checked(window)
            if self._window is None:
                self._finish(window)
        return self._window is not None

    def check(self, organization_id: str) -> Reconciliation:
        """Check and repair everything of an organization now; some 15 s for seven million events.

        Raises: TransientError when the store is away, or another check does not end.
        """
        with self._alone():
            following: _Window | None = _Window(EPOCH, self._now(), organization_id)
            while following is not None:
                window = following
                following = self._checked(window)
        result = window.results.get(organization_id, Reconciliation(0, 0, 0, 0, window.until))
        self._ledger.keep_full(organization_id, result)
        self._observe(result.at)
        _log.info("organization reconciled", organization=organization_id, **_said(result))
        return result

    def verify(self, scopes: Sequence[AuditScope]) -> Mapping[AuditScope, int]:
        """Return when every event of these subscriptions' periods is stored once, after a repair where it was not.

        A repeat in another period is the continuous look's business.
        Returns: how many events are stored in each scope.
        Bounds:  scopes that share a period are asked about together, `SUBSCRIPTIONS_MAX` at a time.
        Raises:  TransientError when the store is away or another process repairs for too long; InvariantViolation
                 when the repair of one of them does not help.
        """
        proven: dict[AuditScope, int] = {}
        for _ in range(REPAIR_ATTEMPTS_MAX):
            unproven = self._prove(scopes, proven)
            if not unproven:
                return proven
            self._repair_periods(unproven)
        unproven = self._prove(scopes, proven)
        if unproven:
            names = ", ".join(sorted({each.external_subscription_id for each in unproven}))
            raise InvariantViolation(f"subscription {names}: events are stored twice and cannot be repaired")
        return proven

    def report(self, organization_id: str) -> ReconciliationReport:
        """How the organization's events stand, as this process knows it."""
        return self._ledger.report(organization_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=TURN_SECONDS_MAX):
            raise TransientError("reconciler", "another check has not ended", retry_after_seconds=5)
        try:
            with self._turn():
                yield
        finally:
            self._lock.release()

    def _now(self) -> datetime:
        now: datetime = self._clickhouse.rows(NOW)[0][0]
        return now

    def _next_window(self) -> _Window:
        until = self._now()
        return _Window(until - self._lookback if self._since is None else self._since, until)

    def _finish(self, window: _Window) -> None:
        self._ledger.keep_look(window.until, window.results)
        unsettled = [result for result in window.results.values() if result.difference]
        # What could not be repaired is looked at again.
        self._since = window.since if unsettled else window.until - LOOK_OVERLAP
        self._observe(window.until)

    def _observe(self, at: datetime) -> None:
        self._observed.difference.set(self._ledger.difference())
        self._observed.last_run.set(at.timestamp())

    def _checked(self, window: _Window) -> _Window | None:
        """The window behind its next chunk, which was checked; None when there is none."""
        chunk = self._next_chunk(window)
        if chunk is None:
            return None
        settled = self._settle(chunk.subscriptions, None if window.is_everything else window)
        different = self._projection_differences(chunk, thorough=window.is_everything)
        results = dict(window.results)
        for organization_id, rows in chunk.rows.items():
            found, left = settled.get(organization_id, (0, 0))
            found_here = Reconciliation(rows, found, found - left, different.get(organization_id, 0), window.until)
            results[organization_id] = _sum(results.get(organization_id), found_here)
        return replace(window, after=chunk.subscriptions[-1], results=results)

    def _next_chunk(self, window: _Window) -> _Chunk | None:
        parameters = window.parameters() | {
            "after_organization": window.after[0],
            "after_subscription": window.after[1],
        }
        if window.organization_id is not None:
            parameters["organization"] = window.organization_id
        query = touched_query(of_organization=window.organization_id is not None)
        touched = self._clickhouse.rows(query, parameters)
        if not touched:
            return None
        rows: dict[str, int] = {}
        for organization_id, _, count, _ in touched:
            rows[organization_id] = rows.get(organization_id, 0) + int(count)
        months = sorted({int(month) for *_, each in touched for month in each})
        return _Chunk(tuple((row[0], row[1]) for row in touched), rows, tuple(months))

    def _prove(self, scopes: Sequence[AuditScope], proven: dict[AuditScope, int]) -> list[AuditScope]:
        """Count the events of the scopes not proven yet into `proven`; those that have surplus rows."""
        by_period: dict[TimeRange, list[AuditScope]] = {}
        for scope in dict.fromkeys(scopes):
            if scope not in proven:
                by_period.setdefault(scope.period, []).append(scope)
        unproven: list[AuditScope] = []
        for period, sharing in by_period.items():
            for some in _chunks(sharing):
                counts = self._count_period(period, [_subscription(scope) for scope in some])
                for scope in some:
                    rows, events = counts.get(_subscription(scope), (0, 0))
                    if rows == events:
                        proven[scope] = events
                    else:
                        unproven.append(scope)
        return unproven

    def _count_period(
        self, period: TimeRange, subscriptions: Sequence[Subscription]
    ) -> dict[Subscription, tuple[int, int]]:
        query, bounds = period_counts_query(period)
        rows = self._clickhouse.rows(query, {"subscriptions": list(subscriptions)} | bounds)
        return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}

    def _repair_periods(self, scopes: Sequence[AuditScope]) -> None:
        subscriptions = sorted({_subscription(scope) for scope in scopes})
        _log.warning("periods are not reconciled", subscriptions=subscriptions)
        for some in _chunks(subscriptions):
            with self._alone():
                self._settle(some, None)

    def _surplus(self, subscriptions: Sequence[Subscription], window: _Window | None) -> dict[str, int]:
        parameters: dict[str, object] = {"subscriptions": list(subscriptions)}
        if window is not None:
            parameters |= window.parameters()
        rows = self._clickhouse.rows(surplus_query(in_window=window is not None), parameters)
        return {organization_id: int(count) for organization_id, count in rows}

    def _settle(self, subscriptions: Sequence[Subscription], window: _Window | None) -> dict[str, tuple[int, int]]:
        """Remove what is surplus of these subscriptions: by organization, how many rows were, and still are."""
        if not self._surplus(subscriptions, window):
            return {}
        found = self._surplus(subscriptions, None)
        left = self._repair(subscriptions, found)
        for organization_id, count in found.items():
            removed = count - left.get(organization_id, 0)
            self._ledger.add_repair(organization_id, found=count, removed=removed)
            self._observed.repaired.inc(max(removed, 0))
            _log.warning("duplicates removed", organization=organization_id, found=count, removed=removed)
        return {organization_id: (count, left.get(organization_id, 0)) for organization_id, count in found.items()}

    def _repair(self, subscriptions: Sequence[Subscription], surplus: dict[str, int]) -> dict[str, int]:
        """Remove surplus rows until there are none, or until rounds in a row did not help; what is left."""
        self._clickhouse.command(REBUILDS_PROJECTION)
        idle = 0
        while surplus and idle < REPAIR_ATTEMPTS_MAX:
            rows = self._surplus_rows(subscriptions)
            if rows:
                self._clickhouse.command(delete_statement(rows))
            before, surplus = surplus, self._surplus(subscriptions, None)
            idle = 0 if sum(surplus.values()) < sum(before.values()) else idle + 1
        return surplus

    def _surplus_rows(self, subscriptions: Sequence[Subscription]) -> list[StoredRow]:
        found = self._clickhouse.rows(SURPLUS_ROWS, {"subscriptions": list(subscriptions)})
        return [StoredRow(str(part), int(place)) for part, place in found]

    def _projection_differences(self, chunk: _Chunk, *, thorough: bool) -> dict[str, int]:
        """By organization, the (subscription, code, month) whose totals differ in every comparison."""
        subscriptions: Sequence[Subscription] = chunk.subscriptions
        for _ in range(COMPARE_ATTEMPTS_MAX):
            different = self._compare(subscriptions, chunk.months, thorough=thorough)
            if not different:
                return {}
            subscriptions = sorted({(key[0], key[1]) for key in different})
        _log.error("projection differs from its events", places=[list(map(str, key)) for key in different[:20]])
        counts: dict[str, int] = {}
        for organization_id, *_ in different:
            counts[organization_id] = counts.get(organization_id, 0) + 1
        return counts

    def _compare(
        self, subscriptions: Sequence[Subscription], months: Sequence[int], *, thorough: bool
    ) -> list[Place]:
        parameters = {"subscriptions": list(subscriptions), "months": list(months)}
        queries = totals_queries(thorough=thorough)
        try:
            projected, recounted = (_by_place(self._clickhouse.rows(query, parameters)) for query in queries)
        except ProjectionNotUsed:
            # Of few rows ClickHouse would read more of the projection than of the table: readers get rows.
            return []
        keys = projected.keys() | recounted.keys()
        return sorted(key for key in keys if projected.get(key) != recounted.get(key))


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), SUBSCRIPTIONS_MAX):
        yield items[start : start + SUBSCRIPTIONS_MAX]


def _subscription(scope: AuditScope) -> Subscription:
    return scope.organization_id, scope.external_subscription_id


def _sum(before: Reconciliation | None, now: Reconciliation) -> Reconciliation:
    if before is None:
        return now
    return Reconciliation(
        before.checked_events + now.checked_events,
        before.duplicates_found + now.duplicates_found,
        before.duplicates_removed + now.duplicates_removed,
        before.projection_difference + now.projection_difference,
        now.at,
    )


def _by_place(rows: Sequence[Row]) -> dict[Place, tuple[object, ...]]:
    return {(row[0], row[1], row[2], int(row[3])): tuple(row[4:]) for row in rows}


def _said(result: Reconciliation) -> dict[str, object]:
    return {
        "checked": result.checked_events,
        "found": result.duplicates_found,
        "removed": result.duplicates_removed,
        "projection_difference": result.projection_difference,
    }
