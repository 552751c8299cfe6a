"""The independent recount: what was accepted, added up in Python, against what is stored, shown and rebuilt.

It knows nothing of the product's way of counting: it keeps the first content of every identity that was sent,
reads the stored properties back as JSON text, and adds with `Decimal`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from aggregator.clickhouse import ClickHouse
from tests.faults.scenario import Scenario

Identity = tuple[str, str]
"""External subscription id and transaction id; a scenario has one organization."""

_STORED = """
SELECT external_subscription_id, transaction_id, properties, value FROM events
WHERE external_subscription_id IN {subscriptions:Array(String)}
SETTINGS optimize_use_projections = 0"""

_SHOWN = """
SELECT external_subscription_id, sum(events_count), sum(units_sum) FROM usage_hourly
WHERE external_subscription_id IN {subscriptions:Array(String)}
GROUP BY external_subscription_id"""


@dataclass(frozen=True)
class StoredRow:
    """A row of `events`: its content as it was sent, and the value that was counted."""

    identity: Identity
    properties: str
    value: Decimal | None

    def units(self, field: str) -> Decimal:
        """The number under `field`, read from the text."""
        return exact_number(json.loads(self.properties, parse_float=Decimal)[field])


@dataclass(frozen=True)
class Recount:
    """What the rows are worth against what was accepted: `accepted` maps each identity to its units."""

    accepted: Mapping[Identity, Decimal]
    rows: Sequence[StoredRow]
    field: str

    @property
    def lost(self) -> set[Identity]:
        return self.accepted.keys() - {row.identity for row in self.rows}

    @property
    def invented(self) -> set[Identity]:
        return {row.identity for row in self.rows} - self.accepted.keys()

    @property
    def doubled(self) -> dict[Identity, int]:
        """Identities with more than one row, and how many more."""
        copies = Counter(row.identity for row in self.rows)
        return {identity: count - 1 for identity, count in copies.items() if count > 1}

    def totals(self) -> dict[str, tuple[int, Decimal]]:
        """Events and units of each subscription, from what was accepted alone."""
        return add_up((subscription, units) for (subscription, _), units in self.accepted.items())

    def assert_exact(self, scenario: Scenario, *, duplicates_sent: int = 0) -> None:
        """Every accepted event is there once, with its content, counted for what it is worth."""
        lost, doubled, invented = self.lost, self.doubled, self.invented
        scenario.judge(
            accepted=len(self.accepted),
            duplicates=duplicates_sent,
            lost=len(lost),
            doubled=sum(doubled.values()),
        )
        assert not lost, f"{len(lost)} accepted events are lost: {sorted(lost)[:5]}"
        assert not doubled, f"{sum(doubled.values())} rows too many: {sorted(doubled.items())[:5]}"
        assert not invented, f"{len(invented)} events nobody sent: {sorted(invented)[:5]}"
        raw = {row.identity: row.units(self.field) for row in self.rows}
        assert raw == dict(self.accepted), "an event is stored with another content than its first"
        counted = {row.identity: row.value for row in self.rows}
        assert counted == raw, "an event is counted for something else than it says"


def add_up(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, tuple[int, Decimal]]:
    """Events and units by key."""
    counts: dict[str, int] = defaultdict(int)
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for key, units in pairs:
        counts[key] += 1
        sums[key] += units
    return {key: (counts[key], sums[key]) for key in counts}


def exact_number(value: object) -> Decimal:
    """A JSON number or its text, without a float on the way.

    Raises: AssertionError for anything else.
    """
    assert isinstance(value, int | str | Decimal), f"{value!r} is not a number"
    return Decimal(value)


def read_stored(clickhouse: ClickHouse, subscriptions: Iterable[str]) -> list[StoredRow]:
    """Every row of these subscriptions, read from the events themselves."""
    rows = clickhouse.rows(_STORED, {"subscriptions": sorted(subscriptions)})
    return [StoredRow((row[0], row[1]), row[2], row[3]) for row in rows]


def read_shown(clickhouse: ClickHouse, subscriptions: Iterable[str]) -> dict[str, tuple[int, Decimal]]:
    """Events and units of each subscription, as the projection has them."""
    rows = clickhouse.rows(_SHOWN, {"subscriptions": sorted(subscriptions)})
    return {row[0]: (int(row[1]), Decimal(row[2])) for row in rows}
