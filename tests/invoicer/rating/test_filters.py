"""Which bucket of a charge counts an event."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicer.rating.filters import (
    ALL_FILTER_VALUES,
    BucketPredicate,
    ChargeFilter,
    bucket_predicates,
)

METRIC_FILTERS = {"cloud": ["aws", "gcp", "azure"], "region": ["eu", "us"], "tier": ["free", "paid"]}


def make_filter(name: str, **values: Sequence[str]) -> ChargeFilter:
    return ChargeFilter(name, {key: tuple(each) for key, each in values.items()})


def counted_in(filters: Sequence[ChargeFilter], **dimensions: str) -> list[str | None]:
    """The buckets that count an event, None being the default one."""
    buckets = bucket_predicates(filters, METRIC_FILTERS)
    return [bucket.filter_id for bucket in buckets if bucket.matches(dimensions)]


def test_buckets_without_filters_are_the_default_one() -> None:
    """A charge without filters has one bucket that counts everything."""
    assert bucket_predicates([], METRIC_FILTERS) == [BucketPredicate(None, {}, ())]
    assert counted_in([], cloud="aws") == [None]


def test_buckets_come_in_filter_order_with_the_default_last() -> None:
    """One bucket per filter, then the default bucket excluding them all."""
    filters = [make_filter("a", cloud=["aws"]), make_filter("b", region=["eu"])]

    buckets = bucket_predicates(filters, METRIC_FILTERS)

    assert [bucket.filter_id for bucket in buckets] == ["a", "b", None]
    assert buckets[-1].exclude == ({"cloud": ("aws",)}, {"region": ("eu",)})


@pytest.mark.parametrize(
    ("dimensions", "buckets"),
    [
        ({"cloud": "aws"}, ["a"]),
        ({"cloud": "gcp"}, [None]),
        ({"cloud": "AWS"}, [None]),
        ({"region": "eu"}, [None]),
        ({}, [None]),
    ],
)
def test_bucket_single_filter_counts_only_its_values(dimensions: dict[str, str], buckets: list[str]) -> None:
    """Other values, and events without the property, fall to the default bucket."""
    assert counted_in([make_filter("a", cloud=["aws"])], **dimensions) == buckets


def test_bucket_all_values_means_the_declared_ones() -> None:
    """The magic value stands for what the metric declares, not for anything."""
    filters = [make_filter("a", cloud=[ALL_FILTER_VALUES])]

    assert counted_in(filters, cloud="azure") == ["a"]
    assert counted_in(filters, cloud="oracle") == [None]


def test_bucket_all_values_of_an_undeclared_property_counts_nothing() -> None:
    """A property the metric does not declare has no values to match."""
    assert counted_in([make_filter("a", size=[ALL_FILTER_VALUES])], size="xl") == [None]


def test_bucket_filter_with_more_properties_takes_its_events() -> None:
    """The more specific filter counts what it matches, the wider one the rest, in either order."""
    wide = make_filter("wide", cloud=["aws", "gcp"])
    narrow = make_filter("narrow", cloud=["aws"], region=["eu"])

    for filters in ([wide, narrow], [narrow, wide]):
        assert counted_in(filters, cloud="aws", region="eu") == ["narrow"]
        assert counted_in(filters, cloud="aws", region="us") == ["wide"]
        assert counted_in(filters, cloud="aws") == ["wide"]
        assert counted_in(filters, region="eu") == [None]


def test_bucket_duplicate_filters_oldest_keeps_the_events() -> None:
    """Of filters with the same values, in any order of values, only the first counts."""
    filters = [
        make_filter("old", cloud=["aws", "gcp"]),
        make_filter("new", cloud=["gcp", "aws"]),
        make_filter("newest", cloud=["aws", "gcp"]),
    ]

    assert counted_in(filters, cloud="aws") == ["old"]


def test_bucket_all_values_and_the_list_of_them_are_duplicates() -> None:
    """The magic value is compared by what it stands for."""
    filters = [make_filter("all", region=[ALL_FILTER_VALUES]), make_filter("list", region=["us", "eu"])]

    assert counted_in(filters, region="eu") == ["all"]


def test_bucket_filter_inside_another_takes_its_events() -> None:
    """A filter of the same properties whose values lie inside another's counts them alone."""
    filters = [make_filter("both", cloud=["aws", "gcp"]), make_filter("aws", cloud=["aws"])]

    assert counted_in(filters, cloud="aws") == ["aws"]
    assert counted_in(filters, cloud="gcp") == ["both"]


def test_bucket_filter_inside_another_on_one_property_takes_its_events() -> None:
    """Inside means no value of its own on any property; equal ones do not change that."""
    filters = [
        make_filter("both", cloud=["aws", "gcp"], region=["eu"]),
        make_filter("aws", cloud=["aws"], region=["eu"]),
    ]

    assert counted_in(filters, cloud="aws", region="eu") == ["aws"]


def test_bucket_partial_overlap_is_counted_by_the_older_one() -> None:
    """What two filters share is billed once: by the older of two that are equally specific."""
    filters = [make_filter("a", cloud=["aws", "gcp"]), make_filter("b", cloud=["gcp", "azure"])]

    assert counted_in(filters, cloud="gcp") == ["a"]
    assert counted_in(filters, cloud="aws") == ["a"]
    assert counted_in(filters, cloud="azure") == ["b"]


def test_bucket_filters_of_other_properties_share_no_event() -> None:
    """Filters on other properties may match the same event; the older one counts it."""
    filters = [make_filter("aws", cloud=["aws"]), make_filter("eu", region=["eu"])]

    assert counted_in(filters, cloud="aws", region="eu") == ["aws"]
    assert counted_in(filters, cloud="gcp", region="eu") == ["eu"]


def test_charge_filter_without_values_is_refused() -> None:
    """A filter without properties, or with one without values, would match nothing or everything."""
    for values in ({}, {"cloud": ()}):
        with pytest.raises(ValueError, match="at least one property"):
            ChargeFilter("a", values)


filter_values = st.dictionaries(
    st.sampled_from(sorted(METRIC_FILTERS)),
    st.lists(st.sampled_from(["aws", "gcp", "eu", "us", "free", ALL_FILTER_VALUES]), min_size=1, max_size=3),
    min_size=1,
)
dimension_maps = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from([*values, "other"]) for key, values in METRIC_FILTERS.items()}
)


@given(st.lists(filter_values, max_size=5), dimension_maps)
def test_buckets_any_filters_count_every_event_exactly_once(
    values: list[dict[str, list[str]]], dimensions: dict[str, str]
) -> None:
    """No event is lost between buckets and none is in two of them, whatever the filters are."""
    filters = [make_filter(str(position), **each) for position, each in enumerate(values)]

    assert len(counted_in(filters, **dimensions)) == 1
