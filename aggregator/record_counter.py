"""From Kafka records to counted events and kept dead letters: what has to be done before an ack."""

from collections.abc import Sequence
from dataclasses import dataclass

from aggregator.dead_letter_limits import DeadLetterLimits, TooManyDeadLetters
from aggregator.dead_letters import DeadLetter, SendDeadLetters
from aggregator.decode import Decoded, Record, decode_records, original_line
from aggregator.observability import AggregatorMetrics
from aggregator.pipeline import Pipeline, PreparedBatch, Rejection


@dataclass(frozen=True, slots=True)
class PreparedRecords:
    """Records behind everything that can be done before their turn to be stored."""

    records: Sequence[Record]
    decoded: Decoded
    batch: PreparedBatch


class RecordCounter:
    """Counts records; blocking.

    Steps: 1. they are decoded and prepared; 2. the pipeline stores the events; 3. lines that can never be counted
    go to the dead letters. The records may be acknowledged when all is done. A crash before: they are read again,
    the events are recognized, and a dead letter may be there twice.

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

    def prepare(self, records: Sequence[Record]) -> PreparedRecords:
        """Step 1 of whole records, while others may be counted in another thread.

        Raises: TransientError when a service stayed away.
        """
        decoded = decode_records(records)
        return PreparedRecords(records, decoded, self._pipeline.prepare(decoded.events))

    def count(self, prepared: PreparedRecords) -> None:
        """Steps 2 and 3, in the order of the preparation.

        Raises: TransientError when a service stayed away, TooManyDeadLetters when a limit is passed; nothing may
        be acknowledged then.
        """
        records, decoded = prepared.records, prepared.decoded
        for letter in decoded.dead_letters:
            self._observed.dead_letters.labels(letter.code).inc()
        result = self._pipeline.store(prepared.batch)
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
