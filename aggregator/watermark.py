"""Has everything accepted before a moment been counted?"""

from collections.abc import Mapping
from typing import Protocol


class StreamOffsets(Protocol):
    """The offsets of the stream; each call raises TransientError while the brokers are away."""

    def ends(self) -> Mapping[int, int]: ...

    def starts(self, partitions: list[int]) -> Mapping[int, int]: ...

    def committed(self, partitions: list[int]) -> Mapping[int, int]: ...


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

        A partition passes when its committed offset reached the mark, or when nothing before the mark is kept any
        more: it was empty, or its retention has run out.
        Raises: TransientError when the brokers do not answer.
        """
        committed = self._offsets.committed(list(mark))
        behind = {partition: end for partition, end in mark.items() if committed.get(partition, 0) < end}
        if not behind:
            return True
        starts = self._offsets.starts(list(behind))
        return all(starts[partition] >= end for partition, end in behind.items())


class NothingPending:
    """The gate of a process without a broker: an accepted event is a counted one."""

    def mark(self) -> Mapping[int, int]:
        """Nothing to wait for."""
        return {}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """True for a mark of its own."""
        return not mark
