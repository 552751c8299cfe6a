"""The questions about usage as SQL: built from names of ours only; whatever a user chose is a parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.clickhouse import PROJECTION_SETTINGS
from schemas.period import TimeRange
from schemas.usage import UsageScope

ORDER = "(timestamp, ingested_at, transaction_id)"
_HOUR = timedelta(hours=1)
_LAST_HOUR = datetime(2106, 1, 1, tzinfo=UTC)
"""`toStartOfHour` gives a 32-bit time; events lie at most a day ahead, so nothing is cut by staying below."""

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
    if first is not None and first >= last:
        return PeriodParts(_part(start, end), None, None)
    return PeriodParts(None if start is None else _part(start, first), _part(first, last), _part(last, end))


def totals_query(scope: UsageScope) -> tuple[str, Parameters]:
    """One row a group and whether its rows are current: the sums over all three parts of the period.

    The parts follow each other, so the latest event is the latest one of the last part that has any.
    Distinct identities are merged as states, since an identity may occur in several parts.
    """
    parameters = _scope_parameters(scope)
    return _totals_query(scope, _Subject(_subject(), ""), parameters), parameters


def totals_of_many_query(scope: UsageScope, subscriptions: Sequence[str]) -> tuple[str, Parameters]:
    """As `totals_query`, for these external subscription ids instead of the scope's, which each row ends with."""
    parameters = _scope_parameters(scope) | {"subscriptions": list(subscriptions)}
    del parameters["subscription"]
    subject = _Subject(_subject("IN {subscriptions:Array(String)}"), ", external_subscription_id")
    return _totals_query(scope, subject, parameters), parameters


@dataclass(frozen=True)
class _Subject:
    """Whose events are summed, and the column that tells them apart where there are several."""

    condition: str
    column: str


def _totals_query(scope: UsageScope, subject: _Subject, parameters: Parameters) -> str:
    parts = split_period(scope.period)
    selects = [
        _totals_select(number, column, part, scope, subject, parameters)
        for number, (column, part) in enumerate(
            (("timestamp", parts.head), ("toStartOfHour(timestamp)", parts.hours), ("timestamp", parts.tail))
        )
        if part is not None
    ]
    if not selects:
        selects = [_totals_select(0, "timestamp", scope.period, scope, subject, parameters)]
    return f"""
SELECT
    group_values, is_current, sum(counted), sum(units), max(highest),
    argMaxIf(newest, part, newest IS NOT NULL), uniqExactMerge(distinct_identities), sum(removed), sum(amount)
    {subject.column}
FROM ({" UNION ALL ".join(selects)})
GROUP BY group_values, is_current{subject.column}
SETTINGS {PROJECTION_SETTINGS}"""


def _totals_select(
    number: int, column: str, part: TimeRange, scope: UsageScope, subject: _Subject, parameters: Parameters
) -> str:
    return f"""
SELECT
    {group_expression(scope)} AS group_values, evaluation = {{evaluation:String}} AS is_current, {number} AS part,
    count(value) AS counted, sum(toDecimal256(value, 18)) AS units, max(value) AS highest,
    argMaxIf(value, {ORDER}, value IS NOT NULL) AS newest, uniqExactState(identity) AS distinct_identities,
    countIf(value < 0) AS removed,
    sumIf(toDecimal256(precise_total_amount_cents, 15), value IS NOT NULL) AS amount{subject.column}
FROM events
WHERE {subject.condition} AND {_within(column, part, str(number), parameters)}
    AND (evaluation != {{evaluation:String}} OR ({filter_condition(scope)}))
GROUP BY group_values, is_current{subject.column}"""


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
