"""What a subscription has used: in the period in progress, and in those that were invoiced."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from invoicer.billing.billing_facts import BillingAccount
from invoicer.billing.billing_items import SubscriptionFacts
from invoicer.billing.charge_usage import ChargeLine, UsageWindow, price_charge
from invoicer.billing.fee_taxes import taxable, taxes_of
from invoicer.billing.invoice_building import InvoiceStatus
from invoicer.billing.local_days import last_day_before
from invoicer.billing.periods import Period, PeriodEnd, charges_duration_days, charges_period
from invoicer.db import BillingPeriod, Charge, ChargeFilter, Fee, Invoice
from invoicer.rating import taxes as rating
from schemas.errors import InvariantViolation, NotAllowed
from schemas.money import currency_exponent
from schemas.usage import UsageReader


@dataclass(frozen=True)
class UsageSelection:
    """Which part of the usage is wanted; what is None or empty does not narrow it.

    `group` keeps the lines of those group values; `skips_grouping` gives each bucket as one group.
    """

    charge_id: uuid.UUID | None = None
    charge_code: str | None = None
    billable_metric_code: str | None = None
    group: Mapping[str, str] | None = None
    skips_grouping: bool = False
    applies_taxes: bool = True

    def wants(self, charge: Charge) -> bool:
        """Whether a charge is part of it."""
        return (
            self.charge_id in (None, charge.id)
            and self.charge_code in (None, charge.code)
            and self.billable_metric_code in (None, charge.billable_metric.code)
        )

    def wants_group(self, grouped_by: Mapping[str, str | None]) -> bool:
        """Whether a group is part of it."""
        return all(grouped_by.get(key) == value for key, value in (self.group or {}).items())


@dataclass(frozen=True)
class UsageLine:
    """The usage of one bucket and group of a charge. Units: minor units of the currency."""

    charge_filter: ChargeFilter | None
    grouped_by: Mapping[str, str | None]
    units: Decimal
    total_aggregated_units: Decimal
    events_count: int
    amount_cents: int


@dataclass(frozen=True)
class ChargeUsage:
    """The usage of one charge, line by line."""

    charge: Charge
    lines: tuple[UsageLine, ...]


@dataclass(frozen=True)
class PeriodUsage:
    """The usage of a period. `invoice_id` is None for the period in progress."""

    period: Period
    issuing_date: date
    currency: str
    amount_cents: int
    taxes_amount_cents: int
    charges: tuple[ChargeUsage, ...]
    invoice_id: uuid.UUID | None = None


def read_current_usage(
    reader: UsageReader,
    account: BillingAccount,
    facts: SubscriptionFacts,
    selection: UsageSelection,
    now: datetime,
) -> PeriodUsage:
    """The usage of the period in progress, priced as the next invoice will price it.

    Raises: TransientError when the usage store is away; NotAllowed when a charge cannot be priced.
    Source: Lago current usage.
    """
    timezone = ZoneInfo(account.customer.applicable_timezone)
    terms = facts.terms(timezone)
    subscription = facts.subscription
    window = UsageWindow(
        organization_id=subscription.organization_id,
        external_subscription_id=subscription.external_id,
        period=charges_period(terms, now, current=True, previous_charges_end=facts.previous_charges_end),
        duration_days=charges_duration_days(terms, now, current=True),
        timezone=timezone,
        exponent=currency_exponent(subscription.plan.amount_currency),
    )
    usages = [
        _charge_usage(reader, facts, charge, window, selection)
        for charge in subscription.plan.charges
        if selection.wants(charge)
    ]
    totals = rating.tax_invoice(
        [
            taxable(line.amount_cents, taxes_of(account, subscription.plan, usage.charge))
            for usage in usages
            for line in usage.lines
        ]
    )
    return PeriodUsage(
        period=window.period,
        issuing_date=last_day_before(window.period.end, timezone),
        currency=subscription.plan.amount_currency,
        amount_cents=totals.fees_amount_cents,
        taxes_amount_cents=totals.taxes_amount_cents if selection.applies_taxes else 0,
        charges=tuple(usages),
    )


def select_invoiced_periods(subscription_ids: Sequence[uuid.UUID]) -> Select[BillingPeriod]:
    """The periods of subscriptions whose usage was invoiced, newest first."""
    return (
        select(BillingPeriod)
        .join(Invoice, Invoice.id == BillingPeriod.invoice_id)
        .where(
            BillingPeriod.subscription_id.in_(subscription_ids),
            BillingPeriod.bills_charges.is_(True),
            Invoice.status.in_((InvoiceStatus.DRAFT, InvoiceStatus.FINALIZED)),
        )
        .order_by(BillingPeriod.charges_to.desc(), BillingPeriod.billing_at.desc())
        .options(selectinload(BillingPeriod.invoice))
    )


def read_past_usage(session: Session, period: BillingPeriod, metric_code: str | None) -> PeriodUsage:
    """The usage of an invoiced period, from its fees; the amounts are those of the whole invoice.

    Source: Lago past usage.
    """
    invoice = period.invoice
    fees = session.scalars(
        select(Fee)
        .where(
            Fee.invoice_id == invoice.id,
            Fee.subscription_id == period.subscription_id,
            Fee.charge_id.is_not(None),
            Fee.true_up_parent_fee_id.is_(None),
            Fee.adjusts_billing_period_id.is_(None),
        )
        .order_by(Fee.position)
    ).all()
    return PeriodUsage(
        period=Period(period.charges_from, period.charges_to, PeriodEnd(period.charges_end_kind)),
        issuing_date=invoice.issuing_date,
        currency=invoice.currency,
        amount_cents=invoice.fees_amount_cents,
        taxes_amount_cents=invoice.taxes_amount_cents,
        charges=_charges_of_fees(fees, metric_code),
        invoice_id=invoice.id,
    )


def _charge_usage(
    reader: UsageReader,
    facts: SubscriptionFacts,
    charge: Charge,
    window: UsageWindow,
    selection: UsageSelection,
) -> ChargeUsage:
    try:
        lines = price_charge(
            reader,
            charge,
            facts.metrics[charge.billable_metric_id],
            window,
            skips_grouping=selection.skips_grouping,
        )
    except InvariantViolation as violation:
        raise NotAllowed("charge_cannot_be_priced") from violation
    wanted = (line for line in lines if selection.wants_group(line.grouped_by))
    return ChargeUsage(charge, tuple(_priced_line(line) for line in wanted))


def _priced_line(line: ChargeLine) -> UsageLine:
    amounts = line.amounts
    return UsageLine(
        charge_filter=line.charge_filter,
        grouped_by=line.grouped_by,
        units=amounts.units,
        total_aggregated_units=amounts.total_aggregated_units,
        events_count=amounts.events_count,
        amount_cents=amounts.amount_cents,
    )


def _charges_of_fees(fees: Sequence[Fee], metric_code: str | None) -> tuple[ChargeUsage, ...]:
    lines: dict[Charge, list[UsageLine]] = {}
    for fee in fees:
        if fee.charge is not None and metric_code in (None, fee.charge.billable_metric.code):
            lines.setdefault(fee.charge, []).append(_fee_line(fee))
    return tuple(ChargeUsage(charge, tuple(each)) for charge, each in lines.items())


def _fee_line(fee: Fee) -> UsageLine:
    return UsageLine(
        charge_filter=fee.charge_filter,
        grouped_by=fee.grouped_by,
        units=fee.units,
        total_aggregated_units=fee.units if fee.total_aggregated_units is None else fee.total_aggregated_units,
        events_count=fee.events_count or 0,
        amount_cents=fee.amount_cents,
    )
