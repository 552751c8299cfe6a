"""Usage that is read for an invoice: each subscription's period is proven before it is read."""

from collections.abc import Iterator, Sequence

from schemas.period import TimeRange
from schemas.reconciliation import AuditScope, PeriodAuditor
from schemas.usage import UsageReader, UsageRow, UsageScope, UsageTotals


class AuditedUsage:
    """A usage reader for one invoice: it asks the auditor once for each subscription and period that is read.

    The scope of what is read decides what is proven, so that a charge with a period of its own, or one that looks
    back to the first event, is proven over just that.
    """

    def __init__(self, reader: UsageReader, auditor: PeriodAuditor) -> None:
        self._reader = reader
        self._auditor = auditor
        self._verified: list[AuditScope] = []

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """As the reader's.

        Raises: TransientError, also while somebody repairs; InvariantViolation where events are stored twice and
                cannot be repaired.
        """
        self._verify(scope)
        return self._reader.totals(scope)

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """As the reader's. Raises: as `totals`."""
        self._verify(scope)
        return self._reader.rows(scope)

    def _verify(self, scope: UsageScope) -> None:
        wanted = AuditScope(scope.organization_id, scope.external_subscription_id, scope.period)
        if not any(_covers(verified, wanted) for verified in self._verified):
            self._auditor.verify([wanted])
            self._verified.append(wanted)


def _covers(verified: AuditScope, wanted: AuditScope) -> bool:
    return (
        verified.organization_id == wanted.organization_id
        and verified.external_subscription_id == wanted.external_subscription_id
        and _contains(verified.period, wanted.period)
    )


def _contains(outer: TimeRange, inner: TimeRange) -> bool:
    begins_before = outer.start is None or (inner.start is not None and outer.start <= inner.start)
    return begins_before and inner.end <= outer.end
