"""What has to be done before records may be acknowledged, and when they may not be."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aggregator.dead_letter_limits import DeadLetterLimits, TooManyDeadLetters
from aggregator.dead_letters import DeadLetter
from aggregator.decode import Record
from aggregator.observability import AggregatorMetrics
from aggregator.record_counter import RecordCounter
from schemas.events import encode_line
from tests.aggregator.stream import NOON_US, Stream

TOO_LONG = "1" * 19


class Counter:
    """A counter that keeps what it sends."""

    def __init__(self, stream: Stream, *, run_max: int) -> None:
        self._stream = stream
        self.sent: list[DeadLetter] = []
        limits = DeadLetterLimits(run_max=run_max, ratio_max=0)
        self._counter = RecordCounter(
            stream.pipeline, self.sent.extend, limits, AggregatorMetrics(CollectorRegistry())
        )

    def count(self, *lines: bytes) -> None:
        self._stream.offset += 1
        record = Record("usage", self._stream.partition, self._stream.offset, b"\n".join(lines), NOON_US)
        self._counter.count(self._counter.prepare([record]))


def test_count_keeps_letters_up_to_the_limit_and_counts_good_neighbours(stream: Stream, tmp_path: Path) -> None:
    """Undecodable lines and rejected events are one run; what lies behind the limit stays in the stream alone."""
    stream.metric()
    counter = Counter(stream, run_max=2)
    rejected = encode_line(stream.event("bad", TOO_LONG))
    with pytest.raises(TooManyDeadLetters) as raised:
        counter.count(
            encode_line(stream.event("t1")), b"{a", rejected, b"{c", b"{d", encode_line(stream.event("t2"))
        )
    assert [letter.original for letter in counter.sent] == [b"{a", rejected, b"{c"]
    assert raised.value.last is counter.sent[-1]
    assert "3 lines in a row" in raised.value.reason
    assert stream.index.lookup([stream.event(name).event_id for name in ("t1", "t2", "bad")]).keys() == {
        stream.event("t1").event_id,
        stream.event("t2").event_id,
    }


def test_count_within_the_limit_keeps_every_letter(stream: Stream) -> None:
    """The usual case: bad lines go their way, in the order of the stream."""
    stream.metric()
    counter = Counter(stream, run_max=2)
    rejected = encode_line(stream.event("bad", TOO_LONG))
    counter.count(rejected, b"{b", encode_line(stream.event("t1")), b"{c")
    assert [letter.original for letter in counter.sent] == [rejected, b"{b", b"{c"]
