"""The dates of invoices."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from invoicer.billing.invoice_dates import (
    InvoiceTerms,
    IssuingAdjustment,
    IssuingAnchor,
    finalization_date,
    invoice_dates,
    overdue_at,
)
from tests.invoicer.billing.scenario import utc

NEXT, CURRENT = IssuingAnchor.NEXT_PERIOD_START, IssuingAnchor.CURRENT_PERIOD_END
ALIGN, KEEP = IssuingAdjustment.ALIGN_WITH_FINALIZATION_DATE, IssuingAdjustment.KEEP_ANCHOR


def make_terms(
    anchor: IssuingAnchor = NEXT, adjustment: IssuingAdjustment = ALIGN, grace: int = 0, zone: str = "UTC"
) -> InvoiceTerms:
    """Terms with 30 days to pay."""
    return InvoiceTerms(ZoneInfo(zone), grace, 30, anchor, adjustment)


@pytest.mark.parametrize(
    ("anchor", "adjustment", "grace", "days"),
    [
        (NEXT, ALIGN, 0, 0),
        (NEXT, ALIGN, 3, 3),
        (NEXT, KEEP, 3, 0),
        (CURRENT, KEEP, 3, -1),
        (CURRENT, KEEP, 0, -1),
        (CURRENT, ALIGN, 0, -1),
        (CURRENT, ALIGN, 3, 3),
    ],
)
def test_periodic_invoice_is_issued_by_anchor_and_adjustment(
    anchor: IssuingAnchor, adjustment: IssuingAdjustment, grace: int, days: int
) -> None:
    """Days after the billing day, 10 February."""
    dates = invoice_dates(make_terms(anchor, adjustment, grace), utc("2026-02-10"), is_periodic=True)
    assert dates.issuing_date == date(2026, 2, 10 + days)
    assert (dates.payment_due_date - dates.issuing_date).days == 30


def test_other_invoices_are_issued_when_they_are_final() -> None:
    """The anchor is for periodic invoices alone."""
    dates = invoice_dates(make_terms(CURRENT, KEEP, 3), utc("2026-02-10"), is_periodic=False)
    assert dates.issuing_date == date(2026, 2, 13)


def test_draft_is_final_when_its_local_day_begins() -> None:
    """Two days of grace from 9 February in Los Angeles end on the 11th, 08:00 UTC."""
    dates = invoice_dates(
        make_terms(grace=2, zone="America/Los_Angeles"), utc("2026-02-10T05:00"), is_periodic=True
    )
    assert dates.issuing_date == date(2026, 2, 11)
    assert dates.expected_finalization_at == utc("2026-02-11T08:00")


def test_draft_made_final_early_is_issued_that_day_unless_the_anchor_is_kept() -> None:
    """Somebody finalizes on the 11th what was to be issued on the 13th."""
    issuing, at = date(2026, 2, 13), utc("2026-02-11T10:00")
    assert finalization_date(make_terms(), issuing, at, is_periodic=True) == date(2026, 2, 11)
    assert finalization_date(make_terms(adjustment=KEEP), issuing, at, is_periodic=True) == issuing
    assert finalization_date(make_terms(adjustment=KEEP), issuing, at, is_periodic=False) == date(2026, 2, 11)


def test_payment_is_overdue_after_the_due_date_s_local_midnight() -> None:
    """Due on 1 March in Tokyo: overdue from the 2nd there, 15:00 UTC on the 1st."""
    assert overdue_at(date(2026, 3, 1), ZoneInfo("Asia/Tokyo")) == utc("2026-03-01T15:00")
