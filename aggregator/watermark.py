"""Has everything accepted before a moment been counted?"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from schemas.errors import TransientError

LAG_SECONDS = 15.0
"""How often the lag is asked for: two short conversations with the brokers."""
STOP_SECONDS_MAX = 10.0
MARKERS_MAX = 100
"""Offsets behind the last record that may be what ends transactions: one for each transaction and partition."""


class StreamOffsets(Protocol):
    """The offsets of the stream; each call raises TransientError while the brokers are away."""

    def ends(self) -> Mapping[int, int]: ...

    def starts(self, partitions: list[int]) -> Mapping[int, int]: ...

    def committed(self, partitions: list[int]) -> Mapping[int, int]: ...

    def with_records(self, stretches: Mapping[int, tuple[int, int]]) -> set[int]:
        """The partitions that hold a record in their stretch: from an offset on, before another."""
        ...


class StreamWatermarkGate:
    """Compares the end of the stream with what the aggregator has committed, which it does after the insert."""

    def __init__(self, offsets: StreamOffsets) -> None:
        self._offsets = offsets

    def mark(self) -> Mapping[int, int]:
        """The stream's end now: partition → next offset.

        Raises: TransientError when the brokers do not answer.
        """
        return self._offsets.ends()

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """Whether everything before `mark` has been counted.

        A partition passes when its committed offset reached the mark, or when no record before it is left: it was
        empty, its retention has run out, or what is left only ends transactions, which nobody commits.
        Raises: TransientError when the brokers do not answer.
        """
        return not self._uncounted(mark)

    def lag(self) -> Mapping[int, int]:
        """Of every partition, the offsets between its committed one and its end, where a record of them is kept.

        Raises: TransientError when the brokers do not answer.
        """
        ends = self._offsets.ends()
        uncounted = self._uncounted(ends)
        stretches = {partition: uncounted.get(partition, (end, end)) for partition, end in ends.items()}
        return {partition: end - start for partition, (start, end) in stretches.items()}

    def _uncounted(self, ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """Where records are that were not counted: from an offset on, before the end."""
        committed = self._offsets.committed(list(ends))
        behind = [partition for partition, end in ends.items() if committed.get(partition, 0) < end]
        starts = self._offsets.starts(behind) if behind else {}
        first = {partition: max(committed.get(partition, 0), starts[partition]) for partition in behind}
        left = {partition: (first[partition], ends[partition]) for partition in behind}
        left = {partition: (start, end) for partition, (start, end) in left.items() if start < end}
        short = {partition: (start, end) for partition, (start, end) in left.items() if end - start <= MARKERS_MAX}
        if short:
            for partition in short.keys() - self._offsets.with_records(short):
                del left[partition]
        return left


class NothingPending:
    """The gate of a process without a broker: an accepted event is a counted one."""

    def mark(self) -> Mapping[int, int]:
        """Nothing to wait for."""
        return {}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """True for a mark of its own."""
        return not mark

    def lag(self) -> Mapping[int, int]:
        """None of any partition."""
        return {}


@dataclass(frozen=True, slots=True)
class Lag:
    """How many records of each partition were not counted yet at a moment."""

    partitions: Mapping[int, int]
    taken_at: datetime

    @property
    def records(self) -> int:
        """Of all partitions."""
        return sum(self.partitions.values())


class LagWatch:
    """Asks for the lag in a thread of its own, so that neither counting nor a probe waits for the brokers."""

    def __init__(
        self,
        ask: Callable[[], Mapping[int, int]],
        show: Callable[[Mapping[int, int]], None],
        now: Callable[[], datetime],
        *,
        seconds: float = LAG_SECONDS,
    ) -> None:
        self.last: Lag | None = None
        self._ask = ask
        self._show = show
        self._now = now
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def start(self) -> None:
        """Ask at once, and then again and again."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)

    def look(self) -> None:
        """Ask once; while the brokers are away, the last answer and its time stay."""
        try:
            self.last = Lag(self._ask(), self._now())
        except TransientError as error:
            structlog.get_logger().warning("lag unknown", service=error.service, reason=error.reason)
            return
        self._show(self.last.partitions)

    def told(self) -> dict[str, object]:
        """The last answer as /health shows it: nulls before the first, and only those partitions that lag."""
        last = self.last
        if last is None:
            return {"uncounted_records": None, "uncounted_records_at": None}
        behind = {str(partition): records for partition, records in sorted(last.partitions.items()) if records}
        shown: dict[str, object] = {
            "uncounted_records": last.records,
            "uncounted_records_at": last.taken_at.isoformat(timespec="seconds"),
        }
        return shown | ({"uncounted_by_partition": behind} if behind else {})

    def _run(self) -> None:
        self.look()
        while not self._stopping.wait(self._seconds):
            self.look()
