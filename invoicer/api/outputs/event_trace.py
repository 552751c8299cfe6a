"""What became of an event, as the API shows it."""

import uuid
from typing import Any

from pydantic import BaseModel, Field

from invoicer.api.outputs.late_event import LateAdjustmentOutput
from invoicer.api.outputs.subscription import PreciseInstant
from invoicer.billing.event_trace import BillingState, ChargePlace, EventTrace, OutsideReason, SubscriptionPlace
from invoicer.catalog.fields import Instant
from schemas.events import Position
from schemas.metrics import NO_IDENTITY, AggregationType
from schemas.money import decimal_text
from schemas.usage import KeptDeadLetter


class AcceptanceOutput(BaseModel):
    """When an event was accepted, and its place in the stream."""

    accepted_at: PreciseInstant = Field(description="When it was received.")
    stored_at: PreciseInstant = Field(description="When it was counted, on the usage store's clock.")
    partition: int
    offset: int
    line: int = Field(description="Its place in the record at `offset`, from 0.")

    @classmethod
    def of(cls, trace: EventTrace) -> "AcceptanceOutput":
        placed = trace.placed
        return cls(
            accepted_at=placed.event.ingested_at, stored_at=placed.inserted_at, **_position(placed.position)
        )


class EvaluationOutput(BaseModel):
    """What an event is worth under the billable metric of its code, null where there is none."""

    lago_billable_metric_id: uuid.UUID | None
    aggregation_type: str | None
    field_name: str | None
    expression: str | None
    recurring: bool | None = Field(description="Whether it counts in every later period too.")
    metric_deleted_at: Instant | None
    value: str | None = Field(description="What enters the aggregation; null when nothing does.")
    identity: str | None = Field(description="What a unique count counts; null for a missing property.")
    dimensions: dict[str, str] = Field(description="The properties that filters and groups tell events apart by.")
    reason: str | None = Field(description="Why nothing enters: no_metric, property_missing, …")
    detail: str | None = Field(description="The same for people.")

    @classmethod
    def of(cls, trace: EventTrace) -> "EvaluationOutput":
        metric, measure = trace.metric, trace.measure
        is_unique = metric is not None and metric.aggregation_type == AggregationType.UNIQUE_COUNT
        return cls(
            lago_billable_metric_id=None if metric is None else metric.id,
            aggregation_type=None if metric is None else metric.aggregation_type,
            field_name=None if metric is None else metric.field_name,
            expression=None if metric is None else metric.expression,
            recurring=None if metric is None else metric.recurring,
            metric_deleted_at=None if metric is None else metric.deleted_at,
            value=None if measure.value is None else decimal_text(measure.value),
            identity=measure.identity if is_unique and measure.identity != NO_IDENTITY else None,
            dimensions=dict(measure.dimensions),
            reason=measure.reason,
            detail=measure.detail,
        )


class TracedFilterOutput(BaseModel):
    """The filter of a charge that counts an event."""

    lago_id: uuid.UUID
    values: dict[str, list[str]]
    invoice_display_name: str | None


class TracedLateEventOutput(BaseModel):
    """What was done about an event that came too late; the adjustment is the line it changed."""

    lago_id: uuid.UUID
    policy: str
    status: str
    adjustment: LateAdjustmentOutput | None


class BillingOutput(BaseModel):
    """What became of an event under a charge; ids and number only where there is an invoice to be seen.

    An event that came too late names the invoice that it missed and no fee of it; `late_event` names the fee of
    the difference.
    """

    state: BillingState
    lago_invoice_id: uuid.UUID | None
    invoice_number: str | None
    invoice_status: str | None
    lago_fee_id: uuid.UUID | None
    late_event: TracedLateEventOutput | None

    @classmethod
    def of(cls, place: ChargePlace) -> "BillingOutput":
        invoice, late = place.invoice, place.late
        adjusted = None
        if late is not None and late.adjustment is not None:
            adjusted = LateAdjustmentOutput.of(late.adjustment)
        return cls(
            state=place.state,
            lago_invoice_id=None if invoice is None else invoice.id,
            invoice_number=None if invoice is None else invoice.number,
            invoice_status=None if invoice is None else invoice.status,
            lago_fee_id=None if place.fee is None else place.fee.id,
            late_event=None
            if late is None
            else TracedLateEventOutput(
                lago_id=late.id, policy=late.policy, status=late.status, adjustment=adjusted
            ),
        )


class TracedChargeOutput(BaseModel):
    """Where an event stands under one charge: bucket, group, period and invoice. The period's end is inclusive."""

    lago_id: uuid.UUID
    code: str
    charge_model: str
    filter: TracedFilterOutput | None = Field(description="Null: it falls in the rest, which no filter takes.")
    grouped_by: dict[str, str | None]
    from_datetime: PreciseInstant
    to_datetime: PreciseInstant
    billing: BillingOutput

    @classmethod
    def of(cls, place: ChargePlace) -> "TracedChargeOutput":
        charge_filter = place.charge_filter
        return cls(
            lago_id=place.charge.id,
            code=place.charge.code,
            charge_model=place.charge.charge_model,
            filter=None
            if charge_filter is None
            else TracedFilterOutput(
                lago_id=charge_filter.id,
                values=charge_filter.values,
                invoice_display_name=charge_filter.invoice_display_name,
            ),
            grouped_by=dict(place.grouped_by),
            from_datetime=place.period.start,
            to_datetime=place.period.display_end,
            billing=BillingOutput.of(place),
        )


class TracedSubscriptionOutput(BaseModel):
    """A subscription under the external id that an event names."""

    lago_id: uuid.UUID
    lago_customer_id: uuid.UUID
    external_customer_id: str
    plan_code: str
    status: str
    started_at: PreciseInstant | None
    terminated_at: PreciseInstant | None
    covers_event: bool = Field(description="Whether it ran at the event's timestamp.")
    outside: OutsideReason | None = Field(description="Why it did not.")
    charges: list[TracedChargeOutput] = Field(description="The charges of the metric on its plan.")

    @classmethod
    def of(cls, place: SubscriptionPlace) -> "TracedSubscriptionOutput":
        subscription = place.subscription
        return cls(
            lago_id=subscription.id,
            lago_customer_id=subscription.customer_id,
            external_customer_id=subscription.customer.external_id,
            plan_code=subscription.plan.code,
            status=subscription.status,
            started_at=subscription.started_at,
            terminated_at=subscription.terminated_at,
            covers_event=place.outside is None,
            outside=place.outside,
            charges=[TracedChargeOutput.of(each) for each in place.charges],
        )


class TracedEventOutput(BaseModel):
    """One accepted event, followed to its fee."""

    lago_id: uuid.UUID
    external_subscription_id: str
    code: str
    timestamp: PreciseInstant
    properties: dict[str, Any]
    precise_total_amount_cents: str | None
    counts: bool = Field(description="Whether it is part of some charge's usage.")
    reason: str | None = Field(
        description="Why it is part of none: no_metric, property_missing, property_not_numeric, "
        "subscription_not_found, outside_subscription, no_charge, or what its value is refused for."
    )
    acceptance: AcceptanceOutput
    evaluation: EvaluationOutput
    subscriptions: list[TracedSubscriptionOutput]

    @classmethod
    def of(cls, trace: EventTrace) -> "TracedEventOutput":
        event = trace.placed.event
        amount = event.precise_total_amount_cents
        return cls(
            lago_id=uuid.UUID(event.event_id),
            external_subscription_id=event.external_subscription_id,
            code=event.code,
            timestamp=event.timestamp,
            properties=event.properties,
            precise_total_amount_cents=None if amount is None else decimal_text(amount),
            counts=trace.reason is None,
            reason=trace.reason,
            acceptance=AcceptanceOutput.of(trace),
            evaluation=EvaluationOutput.of(trace),
            subscriptions=[TracedSubscriptionOutput.of(each) for each in trace.subscriptions],
        )


class DeadLetterOutput(BaseModel):
    """An event that was accepted and can never be counted."""

    external_subscription_id: str
    code: str
    reason: str
    stored_at: PreciseInstant
    partition: int
    offset: int
    line: int

    @classmethod
    def of(cls, letter: KeptDeadLetter) -> "DeadLetterOutput":
        return cls(
            external_subscription_id=letter.external_subscription_id,
            code=letter.code,
            reason=letter.reason,
            stored_at=letter.inserted_at,
            **_position(letter.position),
        )


class EventTraceOutput(BaseModel):
    """Everything known of a transaction id: an id is only unique within an external subscription id.

    `dead_letters` are those that Millrace keeps itself, embedded; in a cluster they are in their topic.
    """

    transaction_id: str
    events: list[TracedEventOutput]
    dead_letters: list[DeadLetterOutput]


class EventTraceAnswer(BaseModel):
    """What became of an event."""

    event_trace: EventTraceOutput


def _position(position: Position) -> dict[str, Any]:
    return {"partition": position.partition, "offset": position.offset, "line": position.line}
