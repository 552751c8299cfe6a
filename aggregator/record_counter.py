"""From decoded Kafka records to counted events and kept dead letters: what has to be done before an ack."""

from collections.abc import Sequence

from aggregator.dead_letter_limits import DeadLetterLimits, TooManyDeadLetters
from aggregator.dead_letters import DeadLetter, SendDeadLetters
from aggregator.decode import Decoded, Record, original_line
from aggregator.observability import AggregatorMetrics
from aggregator.pipeline import Pipeline, Rejection


class RecordCounter:
    """Counts records; blocking.

    Steps: 1. the pipeline counts the events; 2. lines that can never be counted go to the dead letters. The
    records may be acknowledged when both are done. A crash before: they are read again, the events are recognized,
    and a dead letter may be there twice.

    When the letters pass a limit, they are kept up to the one that was too much, and nothing may be acknowledged:
    the lines behind it stay in the stream.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        send_dead_letters: SendDeadLetters,
        limits: DeadLetterLimits,
        observed: AggregatorMetrics,
    ) -> None:
        self._pipeline = pipeline
        self._send_dead_letters = send_dead_letters
        self._limits = limits
        self._observed = observed

    def count(self, records: Sequence[Record], decoded: Decoded) -> None:
        """Count all events of whole records, given what they decode to.

        Raises: TransientError when a service stayed away, TooManyDeadLetters when a limit is passed; nothing may
        be acknowledged then.
        """
        for letter in decoded.dead_letters:
            self._observed.dead_letters.labels(letter.code).inc()
        result = self._pipeline.process(decoded.events)
        by_place = {(record.partition, record.offset): record for record in records} if result.rejections else {}
        letters = decoded.dead_letters + [_dead_letter(rejection, by_place) for rejection in result.rejections]
        letters.sort(key=_place)
        passed = self._limits.look_at((item.position for item in decoded.events), letters)
        if letters:
            self._send_dead_letters(letters if passed is None else letters[: passed.index + 1])
        if passed is not None:
            raise TooManyDeadLetters(passed.reason, letters[passed.index])

    def forget_partitions(self) -> None:
        """The partitions may change hands: sync the index again before their next events."""
        self._pipeline.forget_partitions()


def _place(letter: DeadLetter) -> tuple[int, int, int]:
    return letter.position.partition, letter.position.offset, letter.position.line


def _dead_letter(rejection: Rejection, by_place: dict[tuple[int, int], Record]) -> DeadLetter:
    position = rejection.positioned.position
    record = by_place[position.partition, position.offset]
    return DeadLetter(
        original_line(record.value, position.line), record.topic, position, rejection.code, rejection.reason
    )
