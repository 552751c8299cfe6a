"""The events behind a fee as the API shows them."""

from pydantic import BaseModel, Field

from invoicer.api.outputs.subscription import PreciseInstant
from invoicer.api.pagination import PaginationMeta
from invoicer.billing.fee_events import FeeEvents, FeeSource
from schemas.metrics import NO_IDENTITY, AggregationType
from schemas.money import decimal_text
from schemas.usage import UsageRow


class FeeEventOutput(BaseModel):
    """One event that a fee counts."""

    transaction_id: str
    timestamp: PreciseInstant
    accepted_at: PreciseInstant
    value: str = Field(description="What enters the aggregation; -1 removes from a unique count.")
    identity: str | None = Field(description="What a unique count counts; null for a missing property.")
    precise_total_amount_cents: str | None
    carried: bool = Field(description="Whether it lies before the period and is carried into it.")

    @classmethod
    def of(cls, row: UsageRow, source: FeeSource) -> "FeeEventOutput":
        amount = row.precise_total_amount_cents
        is_unique = source.metric.aggregation_type is AggregationType.UNIQUE_COUNT
        return cls(
            transaction_id=row.transaction_id,
            timestamp=row.timestamp,
            accepted_at=row.ingested_at,
            value=decimal_text(row.value),
            identity=row.identity if is_unique and row.identity != NO_IDENTITY else None,
            precise_total_amount_cents=None if amount is None else decimal_text(amount),
            carried=row.timestamp < source.window.period.start,
        )


class CarriedOutput(BaseModel):
    """What a recurring metric brought into the period: part of the units, and of the events listed."""

    events_count: int
    units: str


class LateEventsOutput(BaseModel):
    """Events of the fee's bucket and group that arrived after its usage was read: on no page, not billed by it."""

    events_count: int
    transaction_ids: list[str] = Field(description="The first ten.")


class RecountOutput(BaseModel):
    """A fee's figures, counted anew from its events; null where there are too many of them to do so.

    `amount_cents` is at the prices of today: they may have moved where `charge_changed` says that the charge or
    its filter was edited since. `as_of` is when the usage of the fee was read: what arrived later does not count.
    """

    as_of: PreciseInstant
    fee_units: str
    units: str | None
    total_aggregated_units: str | None
    events_count: int | None
    amount_cents: int | None
    matches_fee: bool | None = Field(description="Whether units, total and count are those of the fee.")
    charge_changed: bool
    carried: CarriedOutput | None = Field(description="Null for a metric that starts every period at nothing.")
    late_events: LateEventsOutput

    @classmethod
    def of(cls, found: FeeEvents, source: FeeSource) -> "RecountOutput":
        counted = found.recount
        return cls(
            as_of=source.fee.created_at,
            fee_units=decimal_text(source.fee.units),
            units=None if counted is None else decimal_text(counted.units),
            total_aggregated_units=None if counted is None else decimal_text(counted.total_aggregated_units),
            events_count=None if counted is None else counted.events_count,
            amount_cents=None if counted is None else counted.amount_cents,
            matches_fee=None if counted is None else counted.matches_fee,
            charge_changed=source.is_changed,
            carried=CarriedOutput(events_count=counted.carried_events, units=decimal_text(counted.carried_units))
            if counted is not None and source.carries
            else None,
            late_events=LateEventsOutput(events_count=found.late_events, transaction_ids=list(found.late_ids)),
        )


class FeeEventsAnswer(BaseModel):
    """A page of the events behind a fee, and the fee counted anew from all of them."""

    events: list[FeeEventOutput]
    recount: RecountOutput
    meta: PaginationMeta
