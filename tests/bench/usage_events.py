"""The events of the benchmark: model calls with a number of tokens, every one with a transaction id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.bench.load import post_request

CODE = "tokens"
FIELD = "count"
SUBSCRIPTIONS = 1_000
MODELS = ("small", "medium", "large")
TOKENS_MAX = 5_000
SINGLE_PATH = "/api/v1/events"
BATCH_PATH = "/api/v1/events/batch"
METRIC = {"name": "Tokens", "code": CODE, "aggregation_type": "sum_agg", "field_name": FIELD}


class UsageEvents:
    """Makes events of `SUBSCRIPTIONS` subscriptions with times in the `span_seconds` before `now_seconds`.

    The times are random and all events arrive now, as in a backfill; of `live_events` that many come as they
    happen, from the begin of the span to its end. `seed` decides everything, transaction ids included: two of one
    run need two seeds.
    """

    def __init__(self, seed: int, now_seconds: int, span_seconds: int, live_events: int | None = None) -> None:
        self._random = Random(seed)
        self._now_seconds = now_seconds
        self._span_seconds = span_seconds
        self._live_events = live_events
        self._made = 0
        self.subscriptions = tuple(f"subscription-{number:04}" for number in range(SUBSCRIPTIONS))

    def api_event(self, subscription: str | None = None) -> str:
        """One event as the API takes it."""
        random = self._random.random
        chosen = self.subscriptions[int(random() * SUBSCRIPTIONS)] if subscription is None else subscription
        return (
            f'{{"transaction_id":"{self._random.getrandbits(128):032x}","external_subscription_id":"{chosen}",'
            f'"code":"{CODE}","timestamp":{self._timestamp()},'
            f'"properties":{{"{FIELD}":{int(random() * TOKENS_MAX) + 1},"model":"{MODELS[int(random() * 3)]}"}}}}'
        )

    def line(self, organization_id: str, subscription: str) -> bytes:
        """One event as a line of a pack, as ingest writes it."""
        random = self._random.random
        happened = self._timestamp()
        arrived = self._now_seconds if self._live_events is None else happened + 1
        return (
            f'{{"organization_id":"{organization_id}","external_subscription_id":"{subscription}",'
            f'"transaction_id":"{self._random.getrandbits(128):032x}","code":"{CODE}",'
            f'"timestamp":"{happened}.{int(random() * 900_000) + 100_001}",'
            f'"properties":{{"{FIELD}":{int(random() * TOKENS_MAX) + 1},"model":"{MODELS[int(random() * 3)]}"}},'
            f'"ingested_at":"{arrived}.123456"}}'
        ).encode()

    def _timestamp(self) -> int:
        if self._live_events is None:
            return self._now_seconds - 1 - int(self._random.random() * self._span_seconds)
        seconds = self._span_seconds * self._made // self._live_events
        self._made += 1
        return self._now_seconds - 1 - self._span_seconds + seconds

    def single_requests(self, api_key: str, count: int) -> Iterator[bytes]:
        """`count` requests of one event."""
        for _ in range(count):
            yield post_request(SINGLE_PATH, api_key, f'{{"event":{self.api_event()}}}'.encode())

    def batch_requests(self, api_key: str, count: int, events: int) -> Iterator[bytes]:
        """`count` requests of `events` events each."""
        for _ in range(count):
            body = ",".join([self.api_event() for _ in range(events)])
            yield post_request(BATCH_PATH, api_key, f'{{"events":[{body}]}}'.encode())
