"""The fee lines of one charge over one period: the same rules for an invoice and for current usage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from invoicer.billing.periods import Period
from invoicer.billing.proration import billed_days
from invoicer.billing.usage_reading import BucketQuery, read_usage
from invoicer.db.plans import Charge, ChargeFilter
from invoicer.rating import filters
from invoicer.rating.aggregation import ChargePeriod, RoundingFunction, round_usage
from invoicer.rating.charge_models import ChargeModel, InvalidProperties, parse_properties, price
from invoicer.rating.fee import FeeAmounts, build_fee_amounts
from invoicer.rating.usage import Usage
from schemas.errors import InvariantViolation
from schemas.metrics import MetricDefinition
from schemas.usage import Group, UsageReader, UsageScope


@dataclass(frozen=True)
class UsageWindow:
    """Whose usage is priced, over which time.

    Bounds: `period` is half-open. `duration_days` is the length of the whole interval it lies in.
    Units:  `exponent` is the currency's number of decimals.
    """

    organization_id: UUID
    external_subscription_id: str
    period: Period
    duration_days: int
    timezone: ZoneInfo
    exponent: int


@dataclass(frozen=True)
class ChargeLine:
    """One priced line of a charge: a filter (None: the default bucket) and a group of it."""

    charge: Charge
    charge_filter: ChargeFilter | None
    grouped_by: Mapping[str, str | None]
    amounts: FeeAmounts


@dataclass(frozen=True)
class Bucket:
    """The events of a charge that are priced together: those of one filter (None: of none), group by group."""

    charge_filter: ChargeFilter | None
    predicate: filters.BucketPredicate
    raw_properties: Mapping[str, object]
    group_keys: tuple[str, ...]


def price_charge(
    reader: UsageReader,
    charge: Charge,
    metric: MetricDefinition,
    window: UsageWindow,
    *,
    skips_grouping: bool = False,
) -> list[ChargeLine]:
    """Read and price the usage of a charge: a line for each filter, then the default bucket, by group.

    A bucket without usage has one line of zero units, every group key None; whoever makes an invoice leaves
    out the empty ones. `skips_grouping` prices each bucket as one group.

    Raises: TransientError when the usage store is away; InvariantViolation when the stored charge cannot be
            priced.
    Source: Lago fees; filters.
    """
    return [
        line
        for bucket in charge_buckets(charge, charge.filters, skips_grouping=skips_grouping)
        for line in price_bucket(reader, charge, bucket, metric, window)
    ]


def price_bucket(
    reader: UsageReader, charge: Charge, bucket: Bucket, metric: MetricDefinition, window: UsageWindow
) -> list[ChargeLine]:
    """Read and price the usage of one bucket, a line for each group; see `price_charge`."""
    try:
        return list(_price_groups(reader, charge, bucket, metric, window))
    except (InvalidProperties, ArithmeticError, ValueError) as error:
        raise InvariantViolation(f"charge {charge.code} ({charge.id}): {error!r}") from error


def pricing_group_keys(charge: Charge, charge_filter: ChargeFilter | None) -> tuple[str, ...]:
    """The properties whose values split a bucket: the filter's own, else the charge's."""
    own = () if charge_filter is None else _group_keys(charge_filter.properties)
    return own or _group_keys(charge.properties)


def _group_keys(properties: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(properties.get("pricing_group_keys") or properties.get("grouped_by") or ())


def charge_buckets(
    charge: Charge, charge_filters: Sequence[ChargeFilter], *, skips_grouping: bool = False
) -> list[Bucket]:
    """The buckets of a charge with these filters, the default one last: every event lies in exactly one."""
    metric_filters = {each["key"]: tuple(each["values"]) for each in charge.billable_metric.filters}
    by_id = {str(each.id): each for each in charge_filters}
    predicates = filters.bucket_predicates(
        [filters.ChargeFilter(str(each.id), _tuples(each.values)) for each in charge_filters], metric_filters
    )
    return [
        Bucket(
            charge_filter=(owner := by_id.get(predicate.filter_id or "")),
            predicate=predicate,
            raw_properties=charge.properties if owner is None else owner.properties,
            group_keys=() if skips_grouping else pricing_group_keys(charge, owner),
        )
        for predicate in predicates
    ]


def _tuples(values: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(allowed) for key, allowed in values.items()}


def _price_groups(
    reader: UsageReader, charge: Charge, bucket: Bucket, metric: MetricDefinition, window: UsageWindow
) -> Iterator[ChargeLine]:
    keys = bucket.group_keys
    model = ChargeModel(charge.charge_model)
    properties = parse_properties(model, bucket.raw_properties)
    usages: Mapping[Group, Usage] = {}
    if window.period.start < window.period.end:
        usages = read_usage(
            reader,
            BucketQuery(
                scope=bucket_scope(bucket, metric, window),
                charge_period=_charge_period(window),
                properties=properties,
                prorated=charge.prorated,
                carried_days=billed_days(window.period, window.timezone),
            ),
        )
    nothing: Mapping[Group, Usage] = {(None,) * len(keys): Usage.of(Decimal(0))}
    for group, usage in sorted((usages or nothing).items(), key=_group_order):
        rounded = _round(charge, usage)
        priced = price(model, properties, rounded, prorated=charge.prorated, exponent=window.exponent)
        yield ChargeLine(
            charge=charge,
            charge_filter=bucket.charge_filter,
            grouped_by=dict(zip(keys, group, strict=True)),
            amounts=build_fee_amounts(priced, rounded, exponent=window.exponent),
        )


def bucket_scope(bucket: Bucket, metric: MetricDefinition, window: UsageWindow) -> UsageScope:
    """The events of a bucket in the charge period."""
    return UsageScope(
        organization_id=str(window.organization_id),
        external_subscription_id=window.external_subscription_id,
        metric=metric,
        period=window.period.time_range,
        include=bucket.predicate.include,
        exclude=bucket.predicate.exclude,
        group_by=bucket.group_keys,
    )


def _charge_period(window: UsageWindow) -> ChargePeriod:
    return ChargePeriod(
        start=window.period.start,
        end=window.period.end,
        duration_days=window.duration_days,
        timezone=window.timezone,
    )


def _round(charge: Charge, usage: Usage) -> Usage:
    metric = charge.billable_metric
    function = RoundingFunction(metric.rounding_function) if metric.rounding_function else None
    return round_usage(usage, function, metric.rounding_precision)


def _group_order(entry: tuple[Group, Usage]) -> tuple[tuple[bool, str], ...]:
    """Groups by their values, the missing ones last, so that fees keep their order from run to run."""
    return tuple((value is None, value or "") for value in entry[0])
