"""Until when usage is known to be counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from invoicer.billing.usage_gate import CountedUsage
from schemas.clock import MovableClock
from tests.invoicer.billing.scenario import utc


@dataclass
class MovingStream:
    """A stream whose end and counted position a test moves."""

    end: int = 0
    counted: int = 0
    marks: list[int] = field(default_factory=list)

    def mark(self) -> Mapping[int, int]:
        self.marks.append(self.end)
        return {0: self.end}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        return self.counted >= mark[0]


def test_mark_is_kept_until_a_busy_stream_has_passed_it() -> None:
    """The stream grows faster than it is counted; what matters is the end it had when first looked at."""
    clock, stream = MovableClock(utc("2026-02-01")), MovingStream(end=10)
    usage = CountedUsage(stream, clock)
    for counted in (3, 6, 9):
        stream.end, stream.counted = stream.end + 100, counted
        assert not usage.is_counted(utc("2026-02-01"))
    stream.counted = 110
    assert usage.is_counted(utc("2026-02-01"))
    assert stream.marks == [110]


def test_mark_taken_before_the_instant_does_not_count_for_it() -> None:
    """A mark of 1 February says nothing about the 2nd: a new one is taken."""
    clock, stream = MovableClock(utc("2026-02-01")), MovingStream(end=5)
    usage = CountedUsage(stream, clock)
    assert not usage.is_counted(utc("2026-02-01"))
    clock.move_to(utc("2026-02-02"))
    stream.end, stream.counted = 50, 5
    assert usage.is_counted(utc("2026-02-01"))
    assert not usage.is_counted(utc("2026-02-02"))
    stream.counted = 50
    assert usage.is_counted(utc("2026-02-02"))
    assert stream.marks == [5, 50]


def test_instant_still_to_come_is_never_counted() -> None:
    """Events may still be sent for it."""
    usage = CountedUsage(MovingStream(), MovableClock(utc("2026-02-01")))
    assert not usage.is_counted(utc("2026-02-01T00:00:01"))


def test_instant_known_to_be_counted_is_not_asked_for_again() -> None:
    """One question of the brokers covers everything before it."""
    stream = MovingStream()
    usage = CountedUsage(stream, MovableClock(utc("2026-02-01")))
    assert usage.is_counted(utc("2026-02-01"))
    assert usage.is_counted(utc("2026-01-15"))
    assert len(stream.marks) == 1
