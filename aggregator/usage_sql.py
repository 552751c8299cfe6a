"""The questions about usage as SQL: built from names of ours only; whatever a user chose is a parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_never

from schemas.clickhouse import PROJECTION_SETTINGS
from schemas.metrics import AggregationType
from schemas.period import TimeRange
from schemas.usage import UsageScope

ORDER = "(timestamp, ingested_at, transaction_id)"
_HOUR = timedelta(hours=1)
_LAST_HOUR = datetime(2106, 1, 1, tzinfo=UTC)
"""`toStartOfHour` gives a 32-bit time; events lie at most a day ahead, so nothing is cut by staying below."""

_ONE_SUBSCRIPTION_SETTINGS = f"{PROJECTION_SETTINGS}, max_threads = 1"
"""The hours of one subscription are a few granules: to share them out among threads costs more than it saves."""

Parameters = dict[str, object]


@dataclass(frozen=True)
class PeriodParts:
    """A period as whole UTC hours and the ragged ends around them; a part without extent is None."""

    head: TimeRange | None
    hours: TimeRange | None
    tail: TimeRange | None


def split_period(period: TimeRange) -> PeriodParts:
    """Split a period where the hourly projection can answer; a period inside one hour is all head."""
    start, end = period.start, min(period.end.astimezone(UTC), _LAST_HOUR)
    last = _hour_floor(end)
    first = None if start is None else _hour_ceil(start.astimezone(UTC))
    if start is not None and first is not None and first >= last:
        return PeriodParts(TimeRange(start, end), None, None)
    return PeriodParts(None if start is None else _part(start, first), _part(first, last), _part(last, end))


def asked_aggregates(aggregation: AggregationType) -> tuple[str, ...]:
    """The fields of `UsageTotals` that a metric of this type is billed by, always with the number of events.

    The others are not asked for: planning a query and reading the projection cost by the aggregate.
    Source: Lago charge models (amounts of events are billed by dynamic charges, which price sums only).
    """
    match aggregation:
        case AggregationType.COUNT:
            return ("events_count",)
        case AggregationType.SUM:
            return ("events_count", "sum", "precise_total_amount_cents")
        case AggregationType.WEIGHTED_SUM:
            return ("events_count", "sum")
        case AggregationType.MAX:
            return ("events_count", "max")
        case AggregationType.LATEST:
            return ("events_count", "latest")
        case AggregationType.UNIQUE_COUNT:
            return ("events_count", "unique_count", "removals")
        case unreachable:
            assert_never(unreachable)


def totals_query(scope: UsageScope) -> tuple[str, Parameters]:
    """One row a group and whether its rows are current: group, `is_current`, then `asked_aggregates`.

    Whole hours come from the projection, the ragged ends, where the period has any, from the events. The parts
    follow each other, so the latest event is the latest one of the last part that has any. Distinct identities
    are merged as states, since an identity may occur in several parts.
    """
    parameters = _scope_parameters(scope)
    query = _totals_query(scope, _Subject(_subject(), ""), parameters)
    return f"{query}\nSETTINGS {_ONE_SUBSCRIPTION_SETTINGS}", parameters


def totals_of_many_query(scope: UsageScope, subscriptions: Sequence[str]) -> tuple[str, Parameters]:
    """As `totals_query`, for these external subscription ids instead of the scope's, which each row ends with."""
    parameters = _scope_parameters(scope) | {"subscriptions": list(subscriptions)}
    del parameters["subscription"]
    subject = _Subject(_subject("IN {subscriptions:Array(String)}"), ", external_subscription_id")
    return f"{_totals_query(scope, subject, parameters)}\nSETTINGS {PROJECTION_SETTINGS}", parameters


@dataclass(frozen=True)
class _Subject:
    """Whose events are summed, and the column that tells them apart where there are several."""

    condition: str
    column: str


@dataclass(frozen=True)
class _Aggregate:
    """A total as SQL: of all events at once, of those of a part of the period, and of such parts, named {0}."""

    of_events: str
    of_part: str
    of_parts: str


_LATEST = f"argMaxIf(value, {ORDER}, value IS NOT NULL)"
_AMOUNT = "sumIf(toDecimal256(precise_total_amount_cents, 15), value IS NOT NULL)"
_AGGREGATES = {
    "events_count": _Aggregate("count(value)", "count(value)", "sum({0})"),
    "sum": _Aggregate("sum(toDecimal256(value, 18))", "sum(toDecimal256(value, 18))", "sum({0})"),
    "max": _Aggregate("max(value)", "max(value)", "max({0})"),
    "latest": _Aggregate(_LATEST, _LATEST, "argMaxIf({0}, part, {0} IS NOT NULL)"),
    "unique_count": _Aggregate(
        "finalizeAggregation(uniqExactState(identity))", "uniqExactState(identity)", "uniqExactMerge({0})"
    ),
    "removals": _Aggregate("countIf(value < 0)", "countIf(value < 0)", "sum({0})"),
    "precise_total_amount_cents": _Aggregate(_AMOUNT, _AMOUNT, "sum({0})"),
}
"""By the field of `UsageTotals`. What is said of events is said as the projection says it, or it is not found."""


@dataclass(frozen=True)
class _Branch:
    """Some of the period: where its events are, and in which of its parts."""

    condition: str
    part: str


def _totals_query(scope: UsageScope, subject: _Subject, parameters: Parameters) -> str:
    branches = _branches(split_period(scope.period), parameters)
    names = asked_aggregates(scope.metric.aggregation_type)
    if len(branches) == 1:
        totals = ", ".join(_AGGREGATES[name].of_events for name in names)
        query = _totals_select(branches[0], totals, scope, subject)
    else:
        totals = ", ".join(f"{_AGGREGATES[name].of_part} AS part_{name}" for name in names)
        selects = [_totals_select(branch, totals, scope, subject, in_parts=True) for branch in branches]
        merged = ", ".join(_AGGREGATES[name].of_parts.format(f"part_{name}") for name in names)
        query = f"""
SELECT group_values, is_current, {merged}{subject.column}
FROM ({" UNION ALL ".join(selects)})
GROUP BY group_values, is_current{subject.column}"""
    return query


def _branches(parts: PeriodParts, parameters: Parameters) -> list[_Branch]:
    """The ragged ends together, for planning a SELECT takes longer than reading them; then the whole hours."""
    head = None if parts.head is None else _within("timestamp", parts.head, "0", parameters)
    tail = None if parts.tail is None else _within("timestamp", parts.tail, "2", parameters)
    branches = []
    if head is not None and tail is not None:
        branches.append(_Branch(f"(({head}) OR ({tail}))", f"if({head}, 0, 2)"))
    elif head is not None:
        branches.append(_Branch(head, "0"))
    elif tail is not None:
        branches.append(_Branch(tail, "2"))
    if parts.hours is not None:
        branches.append(_Branch(_within("toStartOfHour(timestamp)", parts.hours, "1", parameters), "1"))
    return branches


def _totals_select(
    branch: _Branch, totals: str, scope: UsageScope, subject: _Subject, *, in_parts: bool = False
) -> str:
    part, by_part = (f" {branch.part} AS part,", ", part") if in_parts else ("", "")
    narrowed = scope.include or scope.exclude
    in_scope = f" AND (evaluation != {{evaluation:String}} OR ({filter_condition(scope)}))" if narrowed else ""
    return f"""
SELECT
    {group_expression(scope)} AS group_values, evaluation = {{evaluation:String}} AS is_current,{part}
    {totals}{subject.column}
FROM events
WHERE {subject.condition} AND {branch.condition}{in_scope}
GROUP BY group_values, is_current{by_part}{subject.column}"""


def current_tallies_query(scope: UsageScope, *, with_identities: bool) -> tuple[str, Parameters]:
    """The aggregates of the current rows in a form that other rows can be added to."""
    parameters = _scope_parameters(scope)
    identities = "groupUniqArray(identity)" if with_identities else "CAST([], 'Array(String)')"
    query = f"""
SELECT
    {group_expression(scope)} AS group_values, count(), sum(toDecimal256(value, 18)), max(value),
    argMax((toUnixTimestamp64Micro(timestamp), toUnixTimestamp64Micro(ingested_at), transaction_id), {ORDER}),
    argMax(value, {ORDER}), {identities}, countIf(value < 0), sum(toDecimal256(precise_total_amount_cents, 15))
FROM events
WHERE {_subject()} AND {_within("timestamp", scope.period, "0", parameters)}
    AND evaluation = {{evaluation:String}} AND value IS NOT NULL AND ({filter_condition(scope)})
GROUP BY group_values"""
    return query, parameters


def rows_query(scope: UsageScope, *, stale_only: bool) -> tuple[str, Parameters]:
    """The counted events and those still to be evaluated, in order; properties only of the latter."""
    parameters = _scope_parameters(scope)
    current = "0" if stale_only else f"value IS NOT NULL AND ({filter_condition(scope)})"
    query = f"""
SELECT
    evaluation = {{evaluation:String}} AS is_current, toUnixTimestamp64Micro(timestamp) AS timestamp_us,
    toUnixTimestamp64Micro(ingested_at) AS ingested_at_us, transaction_id, value, identity,
    precise_total_amount_cents, {group_expression(scope)} AS group_values,
    if(is_current, '', properties) AS unread, toUnixTimestamp64Micro(inserted_at) AS inserted_at_us
FROM events
WHERE {_subject()} AND {_within("timestamp", scope.period, "0", parameters)}
    AND (evaluation != {{evaluation:String}} OR ({current}))
ORDER BY timestamp, ingested_at, transaction_id"""
    return query, parameters


def group_expression(scope: UsageScope) -> str:
    """The group as an array of texts; "" stands for a missing property too."""
    if not scope.group_by:
        return "CAST([], 'Array(String)')"
    return "[" + ", ".join(f"dimensions[{{group_{n}:String}}]" for n in range(len(scope.group_by))) + "]"


def filter_condition(scope: UsageScope) -> str:
    """The include and exclude rules on the dimensions.

    Source: Lago filters: every key present with a value of the list; a missing property never matches.
    """
    rules = [_match_condition("include", scope.include)]
    rules += [f"NOT ({_match_condition(f'exclude_{n}', excluded)})" for n, excluded in enumerate(scope.exclude)]
    return " AND ".join(rules)


def _match_condition(prefix: str, wanted: Mapping[str, tuple[str, ...]]) -> str:
    if not wanted:
        return "1"
    return " AND ".join(
        f"(mapContains(dimensions, {{{prefix}_key_{n}:String}})"
        f" AND dimensions[{{{prefix}_key_{n}:String}}] IN {{{prefix}_values_{n}:Array(String)}})"
        for n in range(len(wanted))
    )


def _match_parameters(prefix: str, wanted: Mapping[str, tuple[str, ...]]) -> Parameters:
    parameters: Parameters = {}
    for n, (key, values) in enumerate(wanted.items()):
        parameters[f"{prefix}_key_{n}"] = key
        parameters[f"{prefix}_values_{n}"] = list(values)
    return parameters


def _scope_parameters(scope: UsageScope) -> Parameters:
    parameters: Parameters = {
        "organization": scope.organization_id,
        "subscription": scope.external_subscription_id,
        "code": scope.metric.code,
        "evaluation": scope.metric.evaluation,
        **_match_parameters("include", scope.include),
    }
    for n, excluded in enumerate(scope.exclude):
        parameters |= _match_parameters(f"exclude_{n}", excluded)
    for n, key in enumerate(scope.group_by):
        parameters[f"group_{n}"] = key
    return parameters


def _subject(subscriptions: str = "= {subscription:String}") -> str:
    return (
        f"organization_id = {{organization:String}} AND external_subscription_id {subscriptions}"
        " AND code = {code:String}"
    )


def _within(column: str, part: TimeRange, name: str, parameters: Parameters) -> str:
    """The half-open bounds of a part on a column; hours are bound as seconds, instants as microseconds."""
    kind = "DateTime('UTC')" if column != "timestamp" else "DateTime64(6, 'UTC')"
    parameters[f"end_{name}"] = part.end
    condition = f"{column} < {{end_{name}:{kind}}}"
    if part.start is not None:
        parameters[f"start_{name}"] = part.start
        condition += f" AND {column} >= {{start_{name}:{kind}}}"
    return condition


def _part(start: datetime | None, end: datetime | None) -> TimeRange | None:
    return None if end is None or start == end else TimeRange(start, end)


def _hour_floor(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _hour_ceil(instant: datetime) -> datetime:
    floor = _hour_floor(instant)
    return floor if floor == instant else floor + _HOUR
