"""The catalog as the stream knows it."""

import pytest

from schemas.catalog import CatalogCache, CatalogSnapshot, decode_snapshot, encode_snapshot, hash_api_key
from schemas.errors import TransientError
from schemas.metrics import AggregationType, MetricDefinition

METRIC = MetricDefinition(id="m", organization_id="org", code="calls", aggregation_type=AggregationType.COUNT)
SNAPSHOT = CatalogSnapshot(version=3, api_keys={hash_api_key("secret"): "org"}, metrics=(METRIC,))


def test_snapshot_document_reads_back() -> None:
    """What the invoicer publishes is what the stream reads."""
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT


def test_cache_knows_nothing_before_it_is_refreshed() -> None:
    """Look-ups do no I/O: a miss is the caller's cue to refresh."""
    cache = CatalogCache(lambda known: SNAPSHOT if known < 3 else None)
    assert cache.organization_of("secret") is None
    assert cache.refresh() is True
    assert cache.organization_of("secret") == "org"
    assert cache.evaluator("org", "calls") is not None
    assert cache.evaluator("org", "other") is None
    assert cache.refresh() is False


def test_cache_keeps_its_snapshot_while_the_catalog_is_away() -> None:
    """Events go on being accepted with what is known."""
    answers = iter([SNAPSHOT])

    def load(_known: int) -> CatalogSnapshot:
        try:
            return next(answers)
        except StopIteration:
            raise TransientError("database", "away") from None

    cache = CatalogCache(load)
    cache.refresh()
    with pytest.raises(TransientError):
        cache.refresh()
    assert cache.organization_of("secret") == "org"
