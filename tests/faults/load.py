"""A producer under load: new events, repeats in other cuts, conflicts, broken lines, and books of all of it."""

from __future__ import annotations

import threading
from decimal import Decimal
from random import Random
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from schemas.events import Event, encode_line, encode_pack, make_event
from schemas.partitioning import partition_key
from schemas.topics import record_headers
from tests.aggregator.stream import NOON_US
from tests.faults.oracle import Identity

ORGANIZATION = "org"
CODE = "api_calls"
FIELD = "units"
SUBSCRIPTIONS = tuple(f"sub-{number}" for number in range(8))
UNITS = ("0.1", "2.000000000000000003", "17", "0.33", "1000000.07", "0")
"""A float would not add them up."""
PAUSE_SECONDS = 0.02
PACK_EVENTS_MAX = 40
BROKEN_SHARE = 0.05
"""Packs with a line that nobody can count: far below the share that ends a worker."""
HOUR_US = 3600 * 1_000_000
FLUSH_SECONDS_MAX = 60


class Load:
    """Produces in a thread of its own while it is entered; its books are complete once it is left.

    The stream has one producer, which keeps the order within a partition, so the first content of an id stands.
    """

    def __init__(self, bootstrap_servers: str, topic: str, random: Random) -> None:
        self.accepted: dict[Identity, Decimal] = {}
        self.broken: set[bytes] = set()
        self.lines_sent = 0
        self._topic = topic
        self._random = random
        self._events: dict[str, list[Event]] = {subscription: [] for subscription in SUBSCRIPTIONS}
        self._failures: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,  # a broken connection must neither drop nor reorder
                "linger.ms": 2,
                "log_level": 0,
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    @property
    def duplicates(self) -> int:
        """Events sent beyond the first of their id."""
        return self.lines_sent - len(self.accepted) - len(self.broken)

    def produce(self, packs: int = 1) -> None:
        """Produce packs, each of one subscription: new events, and as often as not some that were there before."""
        for _ in range(packs):
            subscription = self._random.choice(SUBSCRIPTIONS)
            lines = [encode_line(event) for event in self._new(subscription) + self._again(subscription)]
            if self._random.random() < BROKEN_SHARE:
                broken = b"{broken %d" % len(self.broken)
                self.broken.add(broken)
                lines.insert(self._random.randrange(len(lines) + 1), broken)
            self._send(subscription, lines)

    def resend_everything(self) -> None:
        """Produce every event once more, in other cuts."""
        for subscription, events in self._events.items():
            start = 0
            while start < len(events):
                end = start + self._random.randint(1, PACK_EVENTS_MAX)
                self._send(subscription, [encode_line(event) for event in events[start:end]])
                start = end

    def flush(self) -> None:
        """Return when the broker has everything."""
        unsent = self._producer.flush(FLUSH_SECONDS_MAX)
        assert unsent == 0, f"{unsent} packs are not acknowledged"
        assert not self._failures, f"packs were refused: {self._failures[:3]}"

    def _new(self, subscription: str) -> list[Event]:
        known = self._events[subscription]
        count = self._random.randint(1, PACK_EVENTS_MAX // 2)
        events = [self._event(subscription, f"t{len(known) + n}") for n in range(count)]
        known.extend(events)
        self.accepted |= {(subscription, event.transaction_id): _units(event) for event in events}
        return events

    def _again(self, subscription: str) -> list[Event]:
        """Some of what was sent; every fourth says something else than it did, and must not count either."""
        known = self._events[subscription]
        if self._random.random() < 0.5:
            return []
        chosen = self._random.choices(known, k=self._random.randint(1, PACK_EVENTS_MAX // 2))
        return [
            self._event(subscription, event.transaction_id) if self._random.random() < 0.25 else event
            for event in chosen
        ]

    def _event(self, subscription: str, transaction_id: str) -> Event:
        units = self._random.choice(UNITS)
        return make_event(
            organization_id=ORGANIZATION,
            external_subscription_id=subscription,
            transaction_id=transaction_id,
            code=CODE,
            timestamp_us=NOON_US + self._random.randrange(48) * HOUR_US // 2,
            properties_json=b'{"%s":%s}' % (FIELD.encode(), units.encode()),
            precise_total_amount_cents=None,
            ingested_at_us=NOON_US,
        )

    def _send(self, subscription: str, lines: list[bytes]) -> None:
        self.lines_sent += len(lines)
        key = partition_key(ORGANIZATION, subscription)
        value, headers = encode_pack(lines), record_headers(len(lines))
        self._producer.produce(self._topic, value, key=key, headers=headers, on_delivery=self._delivered)
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.str())

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            self.produce()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if kind is None:
            self.flush()


def _units(event: Event) -> Decimal:
    """What the event is worth, from its own text."""
    return Decimal(event.properties_json.decode().partition(":")[2].removesuffix("}"))
