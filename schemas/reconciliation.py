"""What is asked of whoever proves that every stored event is counted once, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.period import TimeRange


@dataclass(frozen=True)
class Reconciliation:
    """What one check of an organization's events found.

    Units:  `checked_events` are stored rows; `duplicates_found` and `duplicates_removed` are rows behind the first
            of their event; `projection_difference` counts the (subscription, code, month) whose projected totals
            differ from a recount of the rows.
    `at` is on the store's clock: everything stored before it was looked at.
    """

    checked_events: int
    duplicates_found: int
    duplicates_removed: int
    projection_difference: int
    at: datetime

    @property
    def difference(self) -> int:
        """What is still not as it must be; 0 is the promise."""
        return self.duplicates_found - self.duplicates_removed + self.projection_difference


@dataclass(frozen=True)
class ReconciliationReport:
    """How an organization's events stand, as one process knows it.

    `last` is the last continuous look at what was stored since the one before, `last_full` the last check of
    everything. The totals count since the process started, and what billing had repaired too.
    """

    last: Reconciliation | None
    last_full: Reconciliation | None
    duplicates_found_total: int
    duplicates_removed_total: int

    @property
    def difference(self) -> int:
        """What the two last checks left unsettled."""
        return sum(each.difference for each in (self.last, self.last_full) if each is not None)


@dataclass(frozen=True)
class AuditScope:
    """The events of one subscription in a period, under every code."""

    organization_id: str
    external_subscription_id: str
    period: TimeRange


class PeriodAuditor(Protocol):
    """Proves of periods that their events are stored once, and repairs where they are not."""

    def verify(self, scopes: Sequence[AuditScope]) -> Mapping[AuditScope, int]:
        """Return when every event of every scope is stored once, after a repair where it was not.

        Returns: how many events are stored in each scope.
        Raises:  TransientError when the store is away or somebody else is repairing; InvariantViolation when the
                 repair of any of them does not help: asked one by one, the others are proven.
        """
        ...


class UsageAuditor(PeriodAuditor, Protocol):
    """Proves it of everything too, and knows how an organization's events stand."""

    def check(self, organization_id: str) -> Reconciliation:
        """Check and repair everything of an organization now. Raises: TransientError."""
        ...

    def report(self, organization_id: str) -> ReconciliationReport:
        """How the organization's events stand."""
        ...
