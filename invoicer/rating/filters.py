"""Charge filters: which events belong to which bucket of a charge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

ALL_FILTER_VALUES = "__ALL_FILTER_VALUES__"


@dataclass(frozen=True)
class ChargeFilter:
    """A filter of a charge: for each property the values that match.

    Bounds:  at least one property, each with at least one value; `ALL_FILTER_VALUES` among them stands for
             every value the billable metric declares for the property.
    """

    id: str
    values: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.values or not all(self.values.values()):
            raise ValueError("a charge filter names at least one property, each with values")


@dataclass(frozen=True)
class BucketPredicate:
    """Which events one bucket counts; `filter_id` None is the default bucket.

    An event is counted when every property of `include` has one of its values and no map of `exclude`
    matches in the same way. A missing property never matches.
    """

    filter_id: str | None
    include: Mapping[str, tuple[str, ...]]
    exclude: tuple[Mapping[str, tuple[str, ...]], ...]

    def matches(self, dimensions: Mapping[str, str]) -> bool:
        """Whether an event with these properties is counted in the bucket. The reference for any query."""
        if not _matches(self.include, dimensions):
            return False
        return not any(_matches(excluded, dimensions) for excluded in self.exclude)


def bucket_predicates(
    filters: Sequence[ChargeFilter], metric_filters: Mapping[str, Sequence[str]]
) -> list[BucketPredicate]:
    """The buckets of a charge: one per filter in the order given, then the default bucket.

    Every event belongs to exactly one bucket. Of several filters that match, the one with the most properties
    counts it, then the narrower one, then the older one. Lago counts an event in every filter of a partial
    overlap; here that would bill it twice.

    Bounds:  `filters` oldest first; `metric_filters` are the values the billable metric declares.
    Source:  Lago filters, aggregating a bucket, and picking one filter for an event.
    """
    expanded = [_expand(each, metric_filters) for each in filters]
    ranks = [_rank(values, position) for position, values in enumerate(expanded)]
    buckets = [
        BucketPredicate(
            each.id,
            values,
            tuple(
                other
                for other, other_rank in zip(expanded, ranks, strict=True)
                if other_rank < rank and _can_meet(values, other)
            ),
        )
        for each, values, rank in zip(filters, expanded, ranks, strict=True)
    ]
    return [*buckets, BucketPredicate(filter_id=None, include={}, exclude=tuple(expanded))]


def _matches(values: Mapping[str, tuple[str, ...]], dimensions: Mapping[str, str]) -> bool:
    return all(dimensions.get(key) in allowed for key, allowed in values.items())


def _expand(
    charge_filter: ChargeFilter, metric_filters: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    return {
        key: tuple(metric_filters.get(key, ())) if ALL_FILTER_VALUES in values else tuple(values)
        for key, values in charge_filter.values.items()
    }


def _rank(values: Mapping[str, tuple[str, ...]], position: int) -> tuple[int, int, int]:
    """Lower takes the event: more properties, then fewer combinations of values, then older.

    A total order, so that whatever filters match an event, exactly one of them comes first.
    """
    return -len(values), prod(len(set(allowed)) for allowed in values.values()), position


def _can_meet(own: Mapping[str, tuple[str, ...]], other: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an event can match both: on every property they share, they share a value."""
    return all(set(allowed) & set(other[key]) for key, allowed in own.items() if key in other)
