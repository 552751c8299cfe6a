"""What one subscription's client sent, and what of it was acknowledged: the independent recount of a story."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

import httpx

from tests.end_to_end import story
from tests.services.millrace import Instance

PRICE = "0.25"
UNITS = ("0.1", "2.000000000000000003", "17", "0.33", "1000000.07")
"""What events are worth, in turn: a float would not add them up."""


@dataclass
class Ledger:
    """Sends batches of distinct events and keeps books; `name` is metric, plan, customer and subscription."""

    instance: Instance
    name: str
    timestamp: int
    batch_events: int = 40
    sent: list[list[story.Json]] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    answers: list[httpx.Response] = field(default_factory=list)
    events_sent: int = 0
    """Events in all requests together, repeats included."""

    def send_new(self, count: int = 1) -> list[httpx.Response]:
        """Send new batches, one after the other, and return the answers."""
        return [self._send(self._append()) for _ in range(count)]

    def resend(self, numbers: Iterable[int] | None = None) -> list[httpx.Response]:
        """Send batches again, all of them unless told; returns the answers."""
        return [self._send(number) for number in (range(len(self.sent)) if numbers is None else numbers)]

    @property
    def unacknowledged(self) -> list[int]:
        return [number for number in range(len(self.sent)) if number not in self.acknowledged]

    def recount(self, numbers: Iterable[int] | None = None) -> Decimal:
        """The units of those batches, of all of them unless told; every event once."""
        batches = self.sent if numbers is None else [self.sent[number] for number in numbers]
        return sum((Decimal(event["properties"]["n"]) for batch in batches for event in batch), Decimal())

    def units_by_identity(self) -> dict[tuple[str, str], Decimal]:
        """What each event that was sent is worth, by subscription and transaction id."""
        return {
            (event["external_subscription_id"], event["transaction_id"]): Decimal(event["properties"]["n"])
            for batch in self.sent
            for event in batch
        }

    @property
    def events(self) -> int:
        return sum(map(len, self.sent))

    @property
    def acknowledged_events(self) -> int:
        return sum(len(self.sent[number]) for number in self.acknowledged)

    def amount_cents(self) -> int:
        """What all of it costs, rounded once, half away from zero."""
        return int((self.recount() * Decimal(PRICE) * 100).quantize(Decimal(1), ROUND_HALF_UP))

    def counted(self) -> Decimal:
        """The units that the API shows now."""
        usage = story.current_usage(self.instance, self.name, self.name)
        return Decimal(story.units_by_metric(usage)[self.name])

    def wait_until_counted(self) -> None:
        """Wait until the API shows exactly the recount of everything that was sent."""
        expected, seen = self.recount(), Decimal(-1)

        def shows() -> bool:
            nonlocal seen
            seen = self.counted()
            return seen == expected

        try:
            story.wait_for(shows, f"{expected} units of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {seen}") from None

    def _append(self) -> int:
        number = len(self.sent)
        units = [UNITS[(number + line) % len(UNITS)] for line in range(self.batch_events)]
        self.sent.append(
            [
                story.event(self.name, self.name, f"{number}-{line}", {"n": each}, timestamp=self.timestamp)
                for line, each in enumerate(units)
            ]
        )
        return number

    def _send(self, number: int) -> httpx.Response:
        self.events_sent += len(self.sent[number])
        response = self.instance.ingest.post("events/batch", json={"events": self.sent[number]})
        if response.status_code == httpx.codes.OK:
            self.acknowledged.add(number)
        self.answers.append(response)
        return response


class Feed:
    """A client that goes on sending new batches in a thread of its own; entered and left like a file.

    With `until_gone` it ends quietly when its connection breaks; otherwise a broken connection fails the story.
    """

    def __init__(self, ledger: Ledger, *, pause_seconds: float = 0.05, until_gone: bool = False) -> None:
        self._ledger = ledger
        self._until_gone = until_gone
        self._broken: httpx.TransportError | None = None
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Ledger:
        self._thread.start()
        return self._ledger

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._broken is not None and not self._until_gone:
            raise self._broken

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._pause_seconds):
                self._ledger.send_new()
        except httpx.TransportError as error:
            self._broken = error


def open_ledger(instance: Instance, name: str, now: datetime) -> Ledger:
    """A new metric, plan, customer and subscription, whose client sends what happened at `now`."""
    metric = story.sum_metric(instance, name, "n")
    story.plan(instance, name, [story.standard_charge(metric, PRICE)])
    story.subscribe(instance, name, name, name)
    return Ledger(instance, name, int(now.timestamp()))


def assert_comes_back_later(response: httpx.Response, service: str) -> None:
    """503 with Retry-After in whole seconds and Lago's error body, naming the service."""
    assert response.status_code == httpx.codes.SERVICE_UNAVAILABLE, f"{response.status_code} {response.text}"
    assert int(response.headers["Retry-After"]) >= 1
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"status": 503, "error": "Service Unavailable", "code": f"{service}_unavailable"}
