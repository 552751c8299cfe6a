"""A stretch of time, half-open."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class TimeRange:
    """The instants t with `start <= t < end`; `start` None reaches back to the first event."""

    start: datetime | None
    end: datetime

    def __post_init__(self) -> None:
        for instant in (self.start, self.end):
            if instant is not None and instant.tzinfo is None:
                raise ValueError(f"naive instant {instant} in a time range")
