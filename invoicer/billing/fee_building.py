"""The fees of one subscription on one invoice: its plan's amount, its usage, and what a minimum lacks."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from invoicer.billing.billing_items import BillingItem
from invoicer.billing.charge_usage import ChargeLine, UsageWindow, price_charge
from invoicer.billing.periods import Period
from invoicer.billing.proration import billed_days, subscription_fee
from invoicer.db import Charge, Fee
from invoicer.rating.arithmetic import exact_arithmetic, round_half_up
from invoicer.rating.fee import PRECISE_PLACES, true_up_amount
from schemas.money import currency_exponent
from schemas.usage import UsageReader

_ONE = Decimal(1)


def build_fees(reader: UsageReader, item: BillingItem, now: datetime) -> list[Fee]:
    """The fees of an item in the order they are shown; lines of nothing used and nothing due are left out.

    Raises: TransientError when the usage store is away; InvariantViolation when a charge cannot be priced.
    Source: Lago fees; invoices, order of computation; minimum amount and true-up fee.
    """
    fees = [_subscription_fee(item, now)] if item.bills_subscription_fee else []
    if item.bills_charges:
        for charge in item.facts.subscription.plan.charges:
            fees.extend(_charge_fees(reader, item, charge, now))
    return fees


def usage_window(item: BillingItem) -> UsageWindow:
    """Whose usage the item's charges are priced on."""
    subscription = item.facts.subscription
    return UsageWindow(
        organization_id=subscription.organization_id,
        external_subscription_id=subscription.external_id,
        period=item.charges_period,
        duration_days=item.charges_duration_days,
        timezone=item.terms.timezone,
        exponent=currency_exponent(subscription.plan.amount_currency),
    )


def _subscription_fee(item: BillingItem, now: datetime) -> Fee:
    plan = item.facts.subscription.plan
    prorated = subscription_fee(
        item.terms,
        plan.amount_cents,
        item.subscription_period,
        has_previous_subscription=False,
        ended_by_upgrade=False,
    )
    precise = round_half_up(prorated.precise_amount_cents, PRECISE_PLACES)
    fee = _fee(item, item.subscription_period, now)
    fee.fee_type = "subscription"
    fee.invoice_display_name = plan.invoice_display_name
    fee.units = _ONE
    fee.total_aggregated_units = _ONE
    fee.amount_cents = fee.unit_amount_cents = prorated.amount_cents
    fee.precise_amount_cents = precise
    fee.precise_unit_amount = major_units(precise, plan.amount_currency)
    fee.amount_details = {"plan_amount_cents": plan.amount_cents}
    return fee


def _charge_fees(reader: UsageReader, item: BillingItem, charge: Charge, now: datetime) -> Iterator[Fee]:
    window = usage_window(item)
    lines = price_charge(reader, charge, item.facts.metrics[charge.billable_metric_id], window)
    missing = missing_to_minimum(charge, lines, window)
    parent: Fee | None = None
    for line in lines:
        carries_true_up = bool(missing) and parent is None and line.charge_filter is None
        if line.amounts.is_empty and not carries_true_up:
            continue
        fee = _charge_fee(item, line, now)
        parent = fee if carries_true_up else parent
        yield fee
    if parent is not None:
        yield _true_up_fee(item, charge, parent, missing, now)


def _charge_fee(item: BillingItem, line: ChargeLine, now: datetime) -> Fee:
    amounts = line.amounts
    fee = _fee(item, item.charges_period, now)
    fee.fee_type = "charge"
    fee.charge_id = line.charge.id
    fee.charge_filter_id = line.charge_filter.id if line.charge_filter is not None else None
    fee.grouped_by = dict(line.grouped_by)
    fee.invoice_display_name = line.charge.invoice_display_name
    fee.units = amounts.units
    fee.total_aggregated_units = amounts.total_aggregated_units
    fee.events_count = amounts.events_count
    fee.amount_cents = amounts.amount_cents
    fee.precise_amount_cents = amounts.precise_amount_cents
    fee.unit_amount_cents = amounts.unit_amount_cents
    fee.precise_unit_amount = amounts.precise_unit_amount
    fee.amount_details = dict(amounts.amount_details)
    return fee


def missing_to_minimum(charge: Charge, lines: Sequence[ChargeLine], window: UsageWindow) -> int:
    """What all lines of a charge lack to its minimum, in minor units; 0 without one."""
    if not charge.min_amount_cents:
        return 0
    return true_up_amount(
        charge.min_amount_cents,
        sum(line.amounts.amount_cents for line in lines),
        days_billed=billed_days(window.period, window.timezone),
        duration_days=window.duration_days,
    )


def _true_up_fee(item: BillingItem, charge: Charge, parent: Fee, amount_cents: int, now: datetime) -> Fee:
    amount = Decimal(amount_cents)
    fee = _fee(item, item.charges_period, now)
    fee.fee_type = "charge"
    fee.charge_id = charge.id
    fee.true_up_parent_fee_id = parent.id
    fee.invoice_display_name = charge.invoice_display_name
    fee.units = _ONE
    fee.total_aggregated_units = _ONE
    fee.events_count = 0
    fee.amount_cents = fee.unit_amount_cents = amount_cents
    fee.precise_amount_cents = amount
    fee.precise_unit_amount = major_units(amount, parent.currency)
    return fee


@exact_arithmetic()
def major_units(cents: Decimal, currency: str) -> Decimal:
    """Minor units as major ones, exactly."""
    return cents.scaleb(-currency_exponent(currency))


def _fee(item: BillingItem, period: Period, now: datetime) -> Fee:
    subscription = item.facts.subscription
    return Fee(
        id=uuid.uuid4(),
        organization_id=subscription.organization_id,
        subscription_id=subscription.id,
        currency=subscription.plan.amount_currency,
        period_from=period.start,
        period_to=period.end,
        period_end_kind=period.ends_at,
        grouped_by={},
        amount_details={},
        created_at=now,
        updated_at=now,
    )
