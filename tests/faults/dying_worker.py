"""`python -m tests.faults.dying_worker STEP N`: the real worker, killed at the Nth passing of a durable step."""

import sys
from enum import StrEnum

import aiokafka

from aggregator.__main__ import main
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.record_counter import RecordCounter
from tests.faults.dying import Death


class Step(StrEnum):
    """A moment between two durable steps of a worker, in their order."""

    GATHERED = "gathered"
    """Records are gathered and decoded; nothing is inserted."""
    BEFORE_INSERT = "before_insert"
    """The rows are made, the insert is about to be sent."""
    INSERTED = "inserted"
    """ClickHouse has acknowledged the insert; the index does not know."""
    INDEXED = "indexed"
    """Index and checkpoint are written; nothing is acknowledged."""
    COUNTED = "counted"
    """The batch is through, with its dead letters; nothing is acknowledged."""
    BEFORE_COMMIT = "before_commit"
    """Acknowledged inside the process, the offsets are about to be committed."""
    COMMITTED = "committed"
    """The broker has the committed offsets."""


def arm(death: Death) -> None:
    """Put the trigger around what the worker works with."""
    death.around(RecordCounter, "count", before=Step.GATHERED, after=Step.COUNTED)
    death.around(EventStore, "insert", before=Step.BEFORE_INSERT, after=Step.INSERTED)
    death.around(DedupIndex, "add", before="indexing", after=Step.INDEXED)
    death.around(aiokafka.AIOKafkaConsumer, "commit", before=Step.BEFORE_COMMIT, after=Step.COMMITTED)


if __name__ == "__main__":
    arm(Death(Step(sys.argv[1]), int(sys.argv[2])))
    main()
