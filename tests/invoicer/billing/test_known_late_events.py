"""Which events an invoice was made with, by what is known of the late ones."""

from datetime import datetime

import pytest

from invoicer.billing.late_events.known import KnownLate
from schemas.period import TimeRange
from tests.invoicer.billing.scenario import utc

LOOKED_UNTIL = utc("2026-02-03T12:00:00Z")
BEFORE, AFTER = utc("2026-02-01T00:00:01Z"), utc("2026-02-03T12:00:00Z")
KNOWN = KnownLate(
    period=TimeRange(utc("2026-01-01"), utc("2026-02-01")),
    missed=frozenset({"billed later"}),
    unchanged=frozenset({"no change"}),
    found_until=LOOKED_UNTIL,
)


@pytest.mark.parametrize(
    ("transaction_id", "timestamp", "inserted_at", "was_counted"),
    [
        ("billed later", utc("2026-01-20"), BEFORE, False),
        ("billed later", utc("2026-01-20"), AFTER, False),
        ("no change", utc("2026-01-20"), BEFORE, None),
        ("other", utc("2026-01-20"), BEFORE, True),
        ("other", utc("2026-01-01"), BEFORE, True),
        ("other", utc("2026-01-20"), AFTER, None),
        ("carried", utc("2025-12-31T23:59:59Z"), BEFORE, None),
        ("next period", utc("2026-02-01"), BEFORE, None),
    ],
)
def test_event_was_counted_unless_it_is_among_the_late_ones(
    transaction_id: str, timestamp: datetime, inserted_at: datetime, was_counted: bool | None
) -> None:
    """All late ones stored before the last look are known; those without effect may have been counted or not."""
    told = KNOWN.was_counted(transaction_id, timestamp=timestamp, inserted_at=inserted_at)
    assert told is was_counted


def test_event_of_a_period_that_nobody_watches_is_left_to_the_clock() -> None:
    """A draft takes late events in, and what an older version billed was not counted."""
    unwatched = KnownLate(KNOWN.period, frozenset(), frozenset(), found_until=None)
    assert unwatched.was_counted("other", timestamp=utc("2026-01-20"), inserted_at=BEFORE) is None
