"""The dates of an invoice: when it is issued, finalized, and to be paid."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from invoicer.billing.local_days import ONE_DAY, day_start, local_day
from invoicer.db.customers import Customer


class IssuingAnchor(StrEnum):
    """The day the issuing date of a periodic invoice is counted from."""

    CURRENT_PERIOD_END = "current_period_end"
    NEXT_PERIOD_START = "next_period_start"


class IssuingAdjustment(StrEnum):
    """Whether a grace period moves the issuing date."""

    ALIGN_WITH_FINALIZATION_DATE = "align_with_finalization_date"
    KEEP_ANCHOR = "keep_anchor"


@dataclass(frozen=True)
class InvoiceTerms:
    """What of a customer and its organization decides the dates of an invoice. Units: days."""

    timezone: ZoneInfo
    grace_period_days: int
    net_payment_term_days: int
    anchor: IssuingAnchor
    adjustment: IssuingAdjustment


@dataclass(frozen=True)
class InvoiceDates:
    """`expected_finalization_at` is None for an invoice that is final at once."""

    issuing_date: date
    payment_due_date: date
    expected_finalization_at: datetime | None


def invoice_terms(customer: Customer) -> InvoiceTerms:
    """The customer's own settings, the organization's where it has none."""
    organization = customer.organization
    grace, net = customer.invoice_grace_period, customer.net_payment_term
    return InvoiceTerms(
        timezone=ZoneInfo(customer.applicable_timezone),
        grace_period_days=organization.invoice_grace_period if grace is None else grace,
        net_payment_term_days=organization.net_payment_term if net is None else net,
        anchor=IssuingAnchor(
            customer.subscription_invoice_issuing_date_anchor
            or organization.subscription_invoice_issuing_date_anchor
        ),
        adjustment=IssuingAdjustment(
            customer.subscription_invoice_issuing_date_adjustment
            or organization.subscription_invoice_issuing_date_adjustment
        ),
    )


def invoice_dates(terms: InvoiceTerms, billed_at: datetime, *, is_periodic: bool) -> InvoiceDates:
    """The dates of a subscription invoice billed at `billed_at`.

    Source: Lago invoices, dates.
    """
    billing_day = local_day(billed_at, terms.timezone)
    grace = timedelta(days=terms.grace_period_days)
    issuing_date = _issuing_date(terms, billing_day) if is_periodic else billing_day + grace
    return InvoiceDates(
        issuing_date=issuing_date,
        payment_due_date=payment_due_date(issuing_date, terms.net_payment_term_days),
        expected_finalization_at=day_start(billing_day + grace, terms.timezone) if grace else None,
    )


def finalization_date(
    terms: InvoiceTerms, issuing_date: date, finalized_at: datetime, *, is_periodic: bool
) -> date:
    """The issuing date of a draft that becomes final at `finalized_at`: that local day, or the anchor kept."""
    if is_periodic and terms.adjustment is IssuingAdjustment.KEEP_ANCHOR:
        return issuing_date
    return local_day(finalized_at, terms.timezone)


def payment_due_date(issuing_date: date, net_payment_term_days: int) -> date:
    """The last day on which payment is in time."""
    return issuing_date + timedelta(days=net_payment_term_days)


def overdue_at(due_date: date, timezone: ZoneInfo) -> datetime:
    """The first instant after the due date, in the customer's timezone."""
    return day_start(due_date + ONE_DAY, timezone)


def _issuing_date(terms: InvoiceTerms, billing_day: date) -> date:
    grace = timedelta(days=terms.grace_period_days)
    keeps = terms.adjustment is IssuingAdjustment.KEEP_ANCHOR
    if terms.anchor is IssuingAnchor.NEXT_PERIOD_START:
        return billing_day if keeps else billing_day + grace
    return billing_day - ONE_DAY if keeps or not grace else billing_day + grace
