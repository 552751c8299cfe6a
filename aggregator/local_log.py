"""The stream of a process without a broker: it gives events their places and counts them at once."""

import threading
from collections.abc import Sequence

from aggregator.dead_letters import DeadLetter
from aggregator.event_store import EventStore
from aggregator.pipeline import Pipeline, Rejection
from schemas.events import Event, Outcome, Position, PositionedEvent, encode_line

LOCAL_PARTITION = 0


class LocalLog:
    """Partition 0 of a stream that is kept nowhere but in the store; one writer at a time, blocking.

    Steps: 1. the events take the next offset, one line each; 2. the pipeline counts them; 3. events it can never
    count go to the table `dead_letters`. A crash anywhere before the return: the caller was not answered and sends
    again; what was stored is recognized. An offset is used once, whatever became of its batch.

    An event that ingest accepted is only rejected here when its metric changed in between. It is answered as a
    dead letter, which says why it is not billed, and is not known by its id: it may be sent again.
    """

    def __init__(self, pipeline: Pipeline, store: EventStore) -> None:
        self._pipeline = pipeline
        self._store = store
        self._turn = threading.Lock()
        # Batches of nothing but repeats leave no row: the store alone would give their offsets out again, and what
        # is stored below the checkpoint is never looked for after a crash.
        self._next_offset = max(store.next_offset(LOCAL_PARTITION), pipeline.checkpoint(LOCAL_PARTITION))

    def process(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """Count events, answering in their order; when it returns, all of them are durable.

        Raises: TransientError when not all of them are known to be durable; sending them again is safe.
        """
        with self._turn:
            offset, self._next_offset = self._next_offset, self._next_offset + 1
            result = self._pipeline.process(
                [
                    PositionedEvent(Position(LOCAL_PARTITION, offset, line), event)
                    for line, event in enumerate(events)
                ]
            )
            self._store.insert_dead_letters([_dead_letter(rejection) for rejection in result.rejections])
        return [outcome or Outcome.DEAD_LETTER for outcome in result.outcomes]


def _dead_letter(rejection: Rejection) -> DeadLetter:
    positioned = rejection.positioned
    return DeadLetter(encode_line(positioned.event), "", positioned.position, rejection.code, rejection.reason)
