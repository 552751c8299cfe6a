"""Usage as the API shows it: charge by charge, then filter by filter and group by group."""

import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from invoicer.api.pagination import PaginationMeta
from invoicer.billing.current_usage import ChargeUsage, PeriodUsage, UsageLine
from invoicer.catalog.fields import Instant
from invoicer.db import Charge
from invoicer.rating.arithmetic import exact_arithmetic
from schemas.money import decimal_text


class UsageSumOutput(BaseModel):
    """What lines of usage come to."""

    units: str
    total_aggregated_units: str
    events_count: int
    amount_cents: int
    pricing_unit_details: dict[str, Any] | None = None
    presentation_breakdowns: list[dict[str, Any]] = []


class FilterUsageOutput(UsageSumOutput):
    """The usage of one filter; `values` is null for the events that no filter takes."""

    invoice_display_name: str | None
    values: dict[str, list[str]] | None


class GroupUsageOutput(UsageSumOutput):
    """The usage of one pricing group; a key the events lack is null."""

    grouped_by: dict[str, str | None]
    filters: list[FilterUsageOutput]


class UsedChargeOutput(BaseModel):
    """Which charge."""

    lago_id: uuid.UUID
    code: str
    charge_model: str
    invoice_display_name: str | None


class UsedMetricOutput(BaseModel):
    """Which billable metric."""

    lago_id: uuid.UUID
    name: str
    code: str
    aggregation_type: str


class ChargeUsageOutput(UsageSumOutput):
    """The usage of one charge."""

    amount_currency: str
    charge: UsedChargeOutput
    billable_metric: UsedMetricOutput
    filters: list[FilterUsageOutput]
    grouped_usage: list[GroupUsageOutput]

    @classmethod
    def of(cls, usage: ChargeUsage, currency: str) -> "ChargeUsageOutput":
        charge, metric = usage.charge, usage.charge.billable_metric
        is_grouped = any(line.grouped_by for line in usage.lines)
        return cls(
            **_sum(usage.lines),
            amount_currency=currency,
            charge=UsedChargeOutput(
                lago_id=charge.id,
                code=charge.code,
                charge_model=charge.charge_model,
                invoice_display_name=charge.invoice_display_name,
            ),
            billable_metric=UsedMetricOutput(
                lago_id=metric.id, name=metric.name, code=metric.code, aggregation_type=metric.aggregation_type
            ),
            filters=_filters(charge, usage.lines),
            grouped_usage=_groups(charge, usage.lines) if is_grouped else [],
        )


class UsageOutput(BaseModel):
    """The usage of a period; its end is inclusive."""

    from_datetime: Instant
    to_datetime: Instant
    issuing_date: date
    currency: str
    amount_cents: int
    total_amount_cents: int
    taxes_amount_cents: int
    lago_invoice_id: uuid.UUID | None
    charges_usage: list[ChargeUsageOutput]

    @classmethod
    def of(cls, usage: PeriodUsage) -> "UsageOutput":
        by_name = sorted(usage.charges, key=lambda each: each.charge.billable_metric.name.casefold())
        return cls(
            from_datetime=usage.period.start,
            to_datetime=usage.period.display_end,
            issuing_date=usage.issuing_date,
            currency=usage.currency,
            amount_cents=usage.amount_cents,
            total_amount_cents=usage.amount_cents + usage.taxes_amount_cents,
            taxes_amount_cents=usage.taxes_amount_cents,
            lago_invoice_id=usage.invoice_id,
            charges_usage=[ChargeUsageOutput.of(each, usage.currency) for each in by_name],
        )


class CurrentUsageAnswer(BaseModel):
    """The usage of the period in progress."""

    customer_usage: UsageOutput


class PastUsageAnswer(BaseModel):
    """A page of invoiced periods."""

    usage_periods: list[UsageOutput]
    meta: PaginationMeta


@exact_arithmetic()
def _sum(lines: Sequence[UsageLine]) -> dict[str, Any]:
    return {
        "units": decimal_text(sum((line.units for line in lines), Decimal(0))),
        "total_aggregated_units": decimal_text(sum((line.total_aggregated_units for line in lines), Decimal(0))),
        "events_count": sum(line.events_count for line in lines),
        "amount_cents": sum(line.amount_cents for line in lines),
    }


def _filters(charge: Charge, lines: Sequence[UsageLine]) -> list[FilterUsageOutput]:
    """One entry a filter and one for the rest; none for a charge without filters.

    Source: Lago current usage.
    """
    if not charge.filters:
        return []
    buckets: dict[uuid.UUID | None, list[UsageLine]] = {}
    for line in lines:
        buckets.setdefault(line.charge_filter.id if line.charge_filter is not None else None, []).append(line)
    return [_filter(each) for each in buckets.values()]


def _filter(lines: Sequence[UsageLine]) -> FilterUsageOutput:
    charge_filter = lines[0].charge_filter
    return FilterUsageOutput(
        **_sum(lines),
        invoice_display_name=None if charge_filter is None else charge_filter.invoice_display_name,
        values=None if charge_filter is None else charge_filter.values,
    )


def _groups(charge: Charge, lines: Sequence[UsageLine]) -> list[GroupUsageOutput]:
    groups: dict[tuple[tuple[str, str | None], ...], list[UsageLine]] = {}
    for line in lines:
        groups.setdefault(tuple(sorted(line.grouped_by.items())), []).append(line)
    return [
        GroupUsageOutput(**_sum(each), grouped_by=dict(key), filters=_filters(charge, each))
        for key, each in groups.items()
    ]
