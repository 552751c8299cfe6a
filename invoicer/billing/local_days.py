"""Days of a customer's timezone as stretches of UTC time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
ONE_MICROSECOND = timedelta(microseconds=1)


def day_start(day: date, timezone: ZoneInfo) -> datetime:
    """The UTC instant at which `day` begins in `timezone`.

    Bounds: a midnight skipped by daylight saving gives the first instant after the gap, one that occurs twice
            gives the first; a day that a zone left out altogether (Pacific/Apia, 2011-12-30) begins and ends
            at the same instant.
    """
    # fold=0 reads a skipped midnight with the offset before the gap: that is the instant of the change itself.
    return datetime.combine(day, time.min, tzinfo=timezone).astimezone(UTC)


def local_day(instant: datetime, timezone: ZoneInfo) -> date:
    """The day d for which `day_start(d) <= instant < day_start(d + 1)`.

    Differs from the wall clock's date only where clocks were set back over midnight: the day that has begun
    stays begun, so that days never run backwards.
    """
    wall_date = instant.astimezone(timezone).date()
    following = wall_date + ONE_DAY
    return following if day_start(following, timezone) <= instant else wall_date


def last_day_before(instant: datetime, timezone: ZoneInfo) -> date:
    """The local day of the last instant before `instant`: the last day of a period that ends there."""
    return local_day(instant - ONE_MICROSECOND, timezone)


def wall_clock(instant: datetime, timezone: ZoneInfo) -> datetime:
    """What a clock on the wall shows: a naive datetime, in which every day is 24 hours long."""
    return instant.astimezone(timezone).replace(tzinfo=None)
