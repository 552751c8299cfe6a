"""When too much of the stream is bad, the fault lies elsewhere, in a producer or a metric, and counting stops."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

from aggregator.dead_letters import DeadLetter
from schemas.errors import MillraceError
from schemas.events import Position

WINDOW_LINES = 1_000
"""Lines of a partition that the share is taken of; while fewer have been read, the share says nothing."""


class TooManyDeadLetters(MillraceError):
    """The worker has to end, without acknowledging the lines it has in hand."""

    def __init__(self, reason: str, last: DeadLetter) -> None:
        super().__init__(reason)
        self.reason = reason
        self.last = last


@dataclass(frozen=True, slots=True)
class LimitPassed:
    """`letters[index]` is the one that was too much; `reason` is for people and names the setting."""

    index: int
    reason: str


class DeadLetterLimits:
    """How many lines of a partition may be dead letters, in a row and among the last `WINDOW_LINES`.

    `run_max` lines in a row are allowed, and a share of `ratio_max`, both inclusive; 0 is no limit. What was read
    before a restart is forgotten.
    """

    def __init__(self, *, run_max: int, ratio_max: float) -> None:
        self._run_max = run_max
        self._ratio_max = ratio_max
        self._partitions: dict[int, _Lines] = {}

    def look_at(self, lines: Iterable[Position], letters: Sequence[DeadLetter]) -> LimitPassed | None:
        """Take in a batch: all its `lines` that could be read, and its dead letters in the order of their places.

        A rejected event is in both. The order of `lines` does not matter. Ends at the first letter too much.
        """
        dead = {(letter.position.partition, letter.position.offset, letter.position.line) for letter in letters}
        counts: dict[int, int] = {}
        touched: dict[int, list[tuple[int, int]]] = {partition: [] for partition, _, _ in dead}
        for place in lines:
            if place.partition not in touched:
                counts[place.partition] = counts.get(place.partition, 0) + 1
            elif (place.partition, place.offset, place.line) not in dead:
                touched[place.partition].append((place.offset, place.line))
        for partition, count in counts.items():
            self._of(partition).add_good(count)
        for good in touched.values():
            good.sort(reverse=True)
        return self._first_passed(touched, letters)

    def _first_passed(
        self, good: dict[int, list[tuple[int, int]]], letters: Sequence[DeadLetter]
    ) -> LimitPassed | None:
        """`good` holds the lines between the letters, the next one last."""
        for index, letter in enumerate(letters):
            position = letter.position
            lines, ahead = self._of(position.partition), good[position.partition]
            while ahead and ahead[-1] < (position.offset, position.line):
                ahead.pop()
                lines.add_good(1)
            lines.add_dead()
            if reason := self._reason(position.partition, lines):
                return LimitPassed(index, reason)
        for partition, behind in good.items():
            self._of(partition).add_good(len(behind))
        return None

    def _reason(self, partition: int, lines: "_Lines") -> str:
        if self._run_max and lines.run > self._run_max:
            return (
                f"{lines.run} lines in a row of partition {partition} cannot be counted, "
                f"MILLRACE_DEAD_LETTER_RUN_MAX is {self._run_max}"
            )
        if self._ratio_max and lines.is_full and lines.dead / WINDOW_LINES > self._ratio_max:
            return (
                f"{lines.dead} of the last {WINDOW_LINES} lines of partition {partition} cannot be counted, "
                f"MILLRACE_DEAD_LETTER_RATIO_MAX is {self._ratio_max:g}"
            )
        return ""

    def _of(self, partition: int) -> "_Lines":
        return self._partitions.setdefault(partition, _Lines())


class _Lines:
    """The last lines of a partition: True for a dead letter."""

    def __init__(self) -> None:
        self.run = 0
        self.dead = 0
        self._window: deque[bool] = deque(maxlen=WINDOW_LINES)

    @property
    def is_full(self) -> bool:
        return len(self._window) == WINDOW_LINES

    def add_good(self, count: int) -> None:
        if not count:
            return
        self.run = 0
        self._window.extend(repeat(False, min(count, WINDOW_LINES)))
        self.dead = sum(self._window) if self.dead else 0

    def add_dead(self) -> None:
        self.run += 1
        self.dead += 1 - (self._window[0] if self.is_full else 0)
        self._window.append(True)
