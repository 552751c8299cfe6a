"""What ingest tells Prometheus about itself."""

from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram

from schemas.events import Outcome

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PACK_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000)


class IngestMetrics:
    """The counters of one process, on the registry they are given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._events = Counter(
            "millrace_ingest_events", "Events by what became of them.", ["outcome"], registry=registry
        )
        self._by_outcome = {outcome: self._events.labels(outcome.value) for outcome in Outcome}
        self._rejected = self._events.labels("rejected")
        self._requests = Histogram(
            "millrace_ingest_request_seconds",
            "Time from the request to its answer.",
            ["route", "status"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._by_answer: dict[tuple[str, int], Histogram] = {}  # looking a label up costs as much as counting
        self._packs = Histogram(
            "millrace_ingest_pack_events", "Events of a published pack.", buckets=_PACK_EVENTS, registry=registry
        )

    def count_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Count events that were taken."""
        for outcome, count in Tally(outcomes).items():
            self._by_outcome[outcome].inc(count)

    def count_rejected(self, events: int) -> None:
        """Count events that were invalid; in a refused batch only the invalid ones."""
        self._rejected.inc(events)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the path as documented, not as sent."""
        answered = self._by_answer.get((route, status))
        if answered is None:
            answered = self._by_answer[route, status] = self._requests.labels(route, str(status))
        answered.observe(seconds)

    def observe_pack(self, events: int) -> None:
        """Count a pack of `events` events."""
        self._packs.observe(events)
