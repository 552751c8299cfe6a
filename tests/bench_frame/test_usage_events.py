"""The events of the benchmark are events of the product."""

import json

import pytest

from schemas.events import decode_line, encode_line
from tests.bench.measurement import BenchmarkError
from tests.bench.usage_events import SUBSCRIPTIONS, UsageEvents
from tests.bench.visibility import Look, visible_after

NOW_SECONDS = 1_700_000_000


def test_line_is_what_ingest_would_have_written() -> None:
    """A worker is measured on the bytes it gets in production."""
    line = UsageEvents(1, NOW_SECONDS, 60).line("an-organization", "a-subscription")
    assert encode_line(decode_line(line, received_at_us=0)) == line


def test_live_events_come_in_the_order_of_their_times() -> None:
    """Over the whole span, each arriving a moment after it happened."""
    events = UsageEvents(1, NOW_SECONDS, 3_600, live_events=1_000)
    lines = [decode_line(events.line("an-organization", "a-subscription"), received_at_us=0) for _ in range(1_000)]
    seconds = [line.timestamp_us // 1_000_000 for line in lines]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (NOW_SECONDS - 1 - 3_600, NOW_SECONDS - 1 - 4)
    assert all(0 < line.ingested_at_us - line.timestamp_us < 2_000_000 for line in lines)


def test_requests_hold_events_that_are_all_different_and_inside_the_span() -> None:
    """Every event is new, so nothing is dropped as a repeat."""
    requests = list(UsageEvents(1, NOW_SECONDS, 60).batch_requests("key", count=20, events=100))
    events = [event for request in requests for event in json.loads(request.partition(b"\r\n\r\n")[2])["events"]]
    assert len(events) == 2_000
    assert len({event["transaction_id"] for event in events}) == 2_000
    assert all(NOW_SECONDS - 60 <= event["timestamp"] < NOW_SECONDS for event in events)
    assert len({event["external_subscription_id"] for event in events}) > SUBSCRIPTIONS / 2


def test_seeds_make_different_events() -> None:
    """Two loads of one run do not repeat each other."""
    first, second = (UsageEvents(seed, NOW_SECONDS, 60).api_event() for seed in (1, 2))
    assert json.loads(first)["transaction_id"] != json.loads(second)["transaction_id"]


def test_visible_after_waits_for_the_look_that_shows_each_event() -> None:
    """Three events sent at 0, 1 and 2 s; looks at 1.5, 3 and 4 s show one, two and all of them."""
    looks = [Look(0.5, 0), Look(1.5, 1), Look(3.0, 2), Look(4.0, 3)]
    assert visible_after([0.0, 1.0, 2.0], looks) == [1.5, 2.0, 2.0]


def test_visible_after_without_the_last_event_has_no_figure() -> None:
    """An event that never shows is no latency."""
    with pytest.raises(BenchmarkError, match="event 2 of 2"):
        visible_after([0.0, 1.0], [Look(1.5, 1)])
