"""A reconciliation as the API shows it."""

from typing import Self

from pydantic import BaseModel

from invoicer.catalog.fields import Instant
from schemas.reconciliation import Reconciliation, ReconciliationReport


class CheckOutput(BaseModel):
    """One check."""

    at: Instant
    checked_events: int
    duplicates_found: int
    duplicates_removed: int
    projection_difference: int
    difference: int

    @classmethod
    def of(cls, check: Reconciliation | None) -> Self | None:
        """None where none was made."""
        if check is None:
            return None
        return cls(
            at=check.at,
            checked_events=check.checked_events,
            duplicates_found=check.duplicates_found,
            duplicates_removed=check.duplicates_removed,
            projection_difference=check.projection_difference,
            difference=check.difference,
        )


class ReconciliationOutput(BaseModel):
    """How an organization's events stand: `difference` is 0 where every event is counted once."""

    difference: int
    last: CheckOutput | None
    last_full: CheckOutput | None
    duplicates_found_total: int
    duplicates_removed_total: int

    @classmethod
    def of(cls, report: ReconciliationReport) -> Self:
        """The report of this process."""
        return cls(
            difference=report.difference,
            last=CheckOutput.of(report.last),
            last_full=CheckOutput.of(report.last_full),
            duplicates_found_total=report.duplicates_found_total,
            duplicates_removed_total=report.duplicates_removed_total,
        )


class ReconciliationAnswer(BaseModel):
    """A reconciliation."""

    reconciliation: ReconciliationOutput
