"""Holds billing back until the stream has been counted: an invoice never reads a half-counted period."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.clock import Clock
from schemas.usage import WatermarkGate


@dataclass(frozen=True)
class _Mark:
    taken_at: datetime
    position: Mapping[int, int]


class CountedUsage:
    """Knows up to which instant everything accepted has been counted.

    A mark of the stream's end is kept until counting has passed it, however many looks that takes: a busy
    stream never stands still at its newest end. Thread-safe.
    """

    def __init__(self, gate: WatermarkGate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_until: datetime | None = None
        self._mark: _Mark | None = None

    def is_counted(self, instant: datetime) -> bool:
        """Whether every event accepted before the clock passed `instant` has been counted.

        Raises: TransientError when the stream's position cannot be read.
        """
        with self._lock:
            if self._has_passed(instant):
                return True
            if self._mark is None:
                self._take_mark()
            self._look()
            if not self._has_passed(instant) and self._mark is None:
                # The mark just passed was taken before the instant: it takes a newer one.
                self._take_mark()
                self._look()
            return self._has_passed(instant)

    def _has_passed(self, instant: datetime) -> bool:
        return self._counted_until is not None and instant <= self._counted_until

    def _take_mark(self) -> None:
        taken_at = self._clock.now()
        self._mark = _Mark(taken_at, self._gate.mark())

    def _look(self) -> None:
        if self._mark is not None and self._gate.has_passed(self._mark.position):
            self._counted_until = self._mark.taken_at
            self._mark = None
