"""Makes an invoice out of billing items: fees, taxes and totals, not yet numbered and not yet saved."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from invoicer.billing.audited_usage import AuditedUsage
from invoicer.billing.billing_facts import BillingAccount
from invoicer.billing.billing_items import BillingItem, InvoicingReason
from invoicer.billing.fee_building import build_fees
from invoicer.billing.fee_taxes import invoice_taxes, tax_fee, taxable, taxes_of
from invoicer.billing.invoice_dates import invoice_dates, invoice_terms
from invoicer.db import BillingPeriod, Charge, Fee, Invoice, InvoiceAppliedTax, Plan, Tax
from invoicer.rating import taxes as rating
from schemas.errors import InvariantViolation
from schemas.reconciliation import AuditScope
from schemas.usage import UsageReader


class InvoiceStatus(StrEnum):
    """Where an invoice stands. `CLOSED`: nothing to bill and not to be issued; never shown."""

    DRAFT = "draft"
    FINALIZED = "finalized"
    VOIDED = "voided"
    CLOSED = "closed"


class PaymentStatus(StrEnum):
    """Whether an invoice or a fee was paid."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class PricedItems:
    """What items come to: rows that are not saved yet, and the totals over them in minor units."""

    fees: list[Fee]
    totals: rating.InvoiceTaxAmounts
    applied_taxes: list[InvoiceAppliedTax]


@dataclass(frozen=True)
class ChargedFee:
    """A fee that is there already, of a charge on a plan that say how it is taxed."""

    fee: Fee
    plan: Plan
    charge: Charge


GroupKey = tuple[str, str | None, datetime, object]


def group_items(items: Iterable[BillingItem]) -> list[list[BillingItem]]:
    """Which items share an invoice: the periodic ones of one instant, currency and purchase order.

    A subscription that does not consolidate, starts or ends is invoiced alone.
    Source: Lago subscription billing, grouping.
    """
    groups: dict[GroupKey, list[BillingItem]] = {}
    for item in items:
        subscription = item.facts.subscription
        alone = item.reason is not InvoicingReason.PERIODIC or not subscription.consolidate_invoice
        key = (
            subscription.plan.amount_currency,
            subscription.purchase_order_number,
            item.billing_at,
            subscription.id if alone else None,
        )
        groups.setdefault(key, []).append(item)
    return list(groups.values())


def count_events(usage: AuditedUsage, items: Iterable[BillingItem]) -> dict[uuid.UUID, int]:
    """How many events each subscription has in the charges period it is billed for, before its usage is read.

    What the store holds more than that later on came too late for the invoice.
    Raises: as `AuditedUsage.totals`.
    """
    return {
        item.facts.subscription.id: usage.count(
            AuditScope(
                str(item.facts.subscription.organization_id),
                item.facts.subscription.external_id,
                item.charges_period.time_range,
            )
        )
        for item in items
        if item.bills_charges and item.charges_period.start < item.charges_period.end
    }


def note_counts(invoice: Invoice, counted: Mapping[uuid.UUID, int], now: datetime) -> None:
    """Keep with the billing periods what `count_events` said just before their usage was read."""
    for period in invoice.billing_periods:
        if period.subscription_id in counted:
            period.events_counted = counted[period.subscription_id]
            period.usage_read_at = now


def build_invoice(
    reader: UsageReader,
    account: BillingAccount,
    items: Sequence[BillingItem],
    now: datetime,
    late_fees: Sequence[ChargedFee] = (),
) -> Invoice:
    """An invoice over `items`, which share currency and billing instant; a draft until it is finalized.

    `late_fees` of periods billed before come behind the items' own.
    Raises: TransientError when the usage store is away; InvariantViolation when it would not add up.
    Source: Lago invoices, order of computation; dates.
    """
    first = items[0]
    terms = invoice_terms(account.customer)
    dates = invoice_dates(terms, first.billing_at, is_periodic=first.reason is InvoicingReason.PERIODIC)
    invoice = Invoice(
        id=uuid.uuid4(),
        organization_id=account.customer.organization_id,
        customer_id=account.customer.id,
        status=InvoiceStatus.DRAFT,
        payment_status=PaymentStatus.PENDING,
        currency=first.facts.subscription.plan.amount_currency,
        timezone=terms.timezone.key,
        billed_at=first.billing_at,
        issuing_date=dates.issuing_date,
        payment_due_date=dates.payment_due_date,
        net_payment_term=terms.net_payment_term_days,
        expected_finalization_at=dates.expected_finalization_at,
        purchase_order_number=first.facts.subscription.purchase_order_number,
        billing_periods=[_billing_period(item, now) for item in items],
        created_at=now,
        updated_at=now,
    )
    apply_pricing(invoice, price_items(reader, account, items, now, late_fees))
    return invoice


def price_items(
    reader: UsageReader,
    account: BillingAccount,
    items: Sequence[BillingItem],
    now: datetime,
    late_fees: Sequence[ChargedFee] = (),
) -> PricedItems:
    """The fees of all items in their order, then the late ones, each with its taxes.

    Raises: TransientError when the usage store is away; InvariantViolation when a charge cannot be priced.
    """
    taxed: list[tuple[Fee, tuple[Tax, ...]]] = []
    for item in items:
        plan = item.facts.subscription.plan
        charges = {charge.id: charge for charge in plan.charges}
        for fee in build_fees(reader, item, now):
            taxes = taxes_of(account, plan, charges[fee.charge_id] if fee.charge_id else None)
            taxed.append((fee, taxes))
    taxed += [(late.fee, taxes_of(account, late.plan, late.charge)) for late in late_fees]
    for position, (fee, taxes) in enumerate(taxed):
        fee.position = position
        tax_fee(fee, taxes, now)
    totals = rating.tax_invoice([taxable(fee.amount_cents, taxes) for fee, taxes in taxed])
    return PricedItems(
        fees=[fee for fee, _ in taxed],
        totals=totals,
        applied_taxes=invoice_taxes(totals, (tax for _, taxes in taxed for tax in taxes), now),
    )


def apply_pricing(invoice: Invoice, priced: PricedItems) -> None:
    """Put fees, taxes and totals on an invoice.

    Raises: InvariantViolation when they do not add up; see `check_totals`.
    """
    totals = priced.totals
    invoice.fees = priced.fees
    invoice.applied_taxes = priced.applied_taxes
    invoice.fees_amount_cents = totals.fees_amount_cents
    invoice.sub_total_excluding_taxes_amount_cents = totals.sub_total_excluding_taxes_amount_cents
    invoice.taxes_amount_cents = totals.taxes_amount_cents
    invoice.taxes_rate = totals.taxes_rate
    invoice.sub_total_including_taxes_amount_cents = totals.sub_total_including_taxes_amount_cents
    invoice.credit_notes_amount_cents = 0  # taken when the invoice becomes final
    invoice.total_amount_cents = totals.sub_total_including_taxes_amount_cents
    check_totals(invoice)


def check_totals(invoice: Invoice) -> None:
    """The safety bound before an invoice is saved: what it says must add up.

    Bounds: taxes are rounded once per fee and once per invoice, so the two sums differ by less than half a
            minor unit for each fee and one more.
    Raises: InvariantViolation.
    """
    fees = invoice.fees
    rounding = len(fees) + 1
    claims = {
        "fees add up": sum(fee.amount_cents for fee in fees) == invoice.fees_amount_cents,
        "no fee is negative": all(fee.amount_cents >= 0 and fee.taxes_amount_cents >= 0 for fee in fees),
        "fees share the currency": all(fee.currency == invoice.currency for fee in fees),
        "cents are the rounded amount": all(abs(fee.precise_amount_cents - fee.amount_cents) <= 1 for fee in fees),
        "taxes add up": 2 * abs(sum(fee.taxes_amount_cents for fee in fees) - invoice.taxes_amount_cents)
        <= rounding,
        "the total is fees and taxes less credit notes": invoice.total_amount_cents
        == invoice.fees_amount_cents + invoice.taxes_amount_cents - invoice.credit_notes_amount_cents,
        "credits add up": sum(credit.amount_cents for credit in invoice.credits)
        == invoice.credit_notes_amount_cents,
        "the total is not negative": invoice.total_amount_cents >= 0,
        "fees lie in a billed period": _fees_lie_in_periods(invoice),
    }
    broken = [claim for claim, holds in claims.items() if not holds]
    if broken:
        raise InvariantViolation(f"invoice over {invoice.billed_at.isoformat()}: not {', not '.join(broken)}")


def _fees_lie_in_periods(invoice: Invoice) -> bool:
    periods = {period.subscription_id: period for period in invoice.billing_periods}
    return len(periods) == len(invoice.billing_periods) and all(
        (fee.period_from, fee.period_to)
        in (
            (periods[fee.subscription_id].charges_from, periods[fee.subscription_id].charges_to),
            (periods[fee.subscription_id].subscription_from, periods[fee.subscription_id].subscription_to),
        )
        for fee in invoice.fees
        if fee.adjusts_billing_period_id is None
    )


def _billing_period(item: BillingItem, now: datetime) -> BillingPeriod:
    return BillingPeriod(
        id=uuid.uuid4(),
        subscription_id=item.facts.subscription.id,
        invoicing_reason=item.reason,
        billing_at=item.billing_at,
        subscription_from=item.subscription_period.start,
        subscription_to=item.subscription_period.end,
        subscription_end_kind=item.subscription_period.ends_at,
        charges_from=item.charges_period.start,
        charges_to=item.charges_period.end,
        charges_end_kind=item.charges_period.ends_at,
        charges_duration_days=item.charges_duration_days,
        bills_subscription_fee=item.bills_subscription_fee,
        bills_charges=item.bills_charges,
        created_at=now,
        updated_at=now,
    )
