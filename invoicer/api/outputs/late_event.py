"""A late event as the API shows it."""

import uuid

from pydantic import BaseModel, Field

from invoicer.api.outputs.subscription import PreciseInstant
from invoicer.api.pagination import PaginationMeta
from invoicer.billing.periods import Period, PeriodEnd
from invoicer.db import Invoice, LateAdjustment, LateEvent
from schemas.money import decimal_text


class LateAdjustmentOutput(BaseModel):
    """The line that a late event changed, with all late events settled together with it.

    Amounts in minor units, before taxes; below zero where they were given back.
    """

    lago_id: uuid.UUID
    lago_charge_id: uuid.UUID
    lago_charge_filter_id: uuid.UUID | None
    grouped_by: dict[str, str | None]
    lago_fee_id: uuid.UUID | None
    lago_invoice_id: uuid.UUID | None
    invoice_number: str | None
    lago_credit_note_id: uuid.UUID | None
    credit_note_number: str | None
    units: str = Field(description="How many units the line has more, or less.")
    events_count: int
    amount_cents: int

    @classmethod
    def of(cls, adjustment: LateAdjustment) -> "LateAdjustmentOutput":
        fee, note = adjustment.fee, adjustment.credit_note
        invoice: Invoice | None = None if fee is None else fee.invoice
        return cls(
            lago_id=adjustment.id,
            lago_charge_id=adjustment.charge_id,
            lago_charge_filter_id=adjustment.charge_filter_id,
            grouped_by=adjustment.grouped_by,
            lago_fee_id=adjustment.fee_id,
            lago_invoice_id=None if invoice is None else invoice.id,
            invoice_number=None if invoice is None else invoice.number,
            lago_credit_note_id=adjustment.credit_note_id,
            credit_note_number=None if note is None else note.number,
            units=decimal_text(adjustment.units),
            events_count=adjustment.events_count,
            amount_cents=adjustment.amount_cents,
        )


class LateEventOutput(BaseModel):
    """An event that was stored after the invoice of its period was final. The period's end is inclusive."""

    lago_id: uuid.UUID
    lago_event_id: uuid.UUID
    transaction_id: str
    code: str
    lago_subscription_id: uuid.UUID
    external_subscription_id: str
    timestamp: PreciseInstant
    accepted_at: PreciseInstant
    arrived_at: PreciseInstant = Field(description="When it was counted, on the usage store's clock.")
    found_at: PreciseInstant
    from_datetime: PreciseInstant
    to_datetime: PreciseInstant
    lago_invoice_id: uuid.UUID = Field(description="The invoice of its period, that it missed.")
    invoice_number: str | None
    policy: str = Field(description="What applied when it was found.")
    status: str
    adjustment: LateAdjustmentOutput | None = Field(description="What it changed; null while nothing has.")

    @classmethod
    def of(cls, late: LateEvent) -> "LateEventOutput":
        billed = late.billing_period
        period = Period(billed.charges_from, billed.charges_to, PeriodEnd(billed.charges_end_kind))
        return cls(
            lago_id=late.id,
            lago_event_id=late.event_id,
            transaction_id=late.transaction_id,
            code=late.code,
            lago_subscription_id=late.subscription_id,
            external_subscription_id=late.subscription.external_id,
            timestamp=late.timestamp,
            accepted_at=late.ingested_at,
            arrived_at=late.arrived_at,
            found_at=late.created_at,
            from_datetime=period.start,
            to_datetime=period.display_end,
            lago_invoice_id=billed.invoice_id,
            invoice_number=billed.invoice.number,
            policy=late.policy,
            status=late.status,
            adjustment=None if late.adjustment is None else LateAdjustmentOutput.of(late.adjustment),
        )


class LateEventsAnswer(BaseModel):
    """A page of late events."""

    late_events: list[LateEventOutput]
    meta: PaginationMeta
