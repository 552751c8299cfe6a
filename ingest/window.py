"""The dedup window: the ids this process has seen accepted lately. A convenience: it may forget, never lose."""

from collections import deque
from collections.abc import Sequence


class DedupWindow:
    """Remembers fingerprints by event id, bounded by count and by age.

    An id enters only when its event is known to be durable, so a failed write followed by a retry is
    counted once, never zero times. The aggregator's index is exact; this only answers repeats early.

    Unit: every `now_seconds` is of one monotonic clock.
    """

    def __init__(self, *, events_max: int, seconds_max: float) -> None:
        self._events_max = events_max
        self._seconds_max = seconds_max
        self._fingerprints: dict[bytes, int] = {}
        # A dict gives up its oldest key in time linear to what was deleted before: the order is kept beside it.
        self._order: deque[bytes] = deque()
        self._marks: deque[tuple[float, int]] = deque()  # (entered at, ids that entered then), oldest first

    def __len__(self) -> int:
        return len(self._fingerprints)

    def fingerprint(self, event_id: bytes) -> int | None:
        """The fingerprint under which `event_id` was accepted, or None when it is not remembered."""
        return self._fingerprints.get(event_id)

    def knows_any(self, event_ids: Sequence[bytes]) -> bool:
        """Whether one of `event_ids` is remembered; far faster than asking for each."""
        return not self._fingerprints.keys().isdisjoint(event_ids)

    def remember(self, accepted: dict[bytes, int], now_seconds: float) -> None:
        """Let durable events in (id → fingerprint) and the oldest ones out; a known id keeps its fingerprint."""
        known = self._fingerprints
        entering = (
            accepted
            if known.keys().isdisjoint(accepted)
            else {event_id: fingerprint for event_id, fingerprint in accepted.items() if event_id not in known}
        )
        if entering:
            known.update(entering)
            self._order.extend(entering)
            self._marks.append((now_seconds, len(entering)))
        self.forget(now_seconds)

    def forget(self, now_seconds: float) -> None:
        """Drop what is too old, or too many."""
        while self._marks and now_seconds - self._marks[0][0] >= self._seconds_max:
            self._drop(self._marks.popleft()[1])
        while (surplus := len(self._order) - self._events_max) > 0:
            entered_at, count = self._marks.popleft()
            self._drop(min(surplus, count))
            if count > surplus:
                self._marks.appendleft((entered_at, count - surplus))

    def _drop(self, count: int) -> None:
        for _ in range(count):
            del self._fingerprints[self._order.popleft()]
