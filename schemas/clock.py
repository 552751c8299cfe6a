"""One clock for everything that asks what time it is."""

import threading
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from: always aware, always UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class MovableClock:
    """A clock that stands still until somebody moves it forward (the test clock)."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def move_to(self, instant: datetime) -> None:
        """Set the time.

        Raises: ValueError when `instant` lies before the present: time never runs backwards here.
        """
        with self._lock:
            if instant < self._now:
                raise ValueError(f"the clock stands at {self._now.isoformat()} and only moves forward")
            self._now = instant.astimezone(UTC)


def open_clock(test_clock: datetime | None) -> Clock:
    """The machine's clock, or one that stands at `test_clock` until it is told to move."""
    return SystemClock() if test_clock is None else MovableClock(test_clock)
