"""Group commit in front of a blocking pipeline."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from ingest import in_process_publisher
from ingest.in_process_publisher import InProcessPublisher
from schemas.errors import InvariantViolation, TransientError
from schemas.events import Event, Outcome
from tests.ingest.builders import accepted_event

pytestmark = pytest.mark.anyio


class Pipeline:
    """Remembers its groups; odd transaction numbers are duplicates; waits and fails on demand."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.failure: Exception | None = None
        self.may_go = threading.Event()
        self.may_go.set()

    def process(self, events: Sequence[Event]) -> Sequence[Outcome]:
        self.may_go.wait(10)
        self.groups.append([event.transaction_id for event in events])
        if self.failure is not None:
            raise self.failure
        return [Outcome.DUPLICATE if int(e.transaction_id) % 2 else Outcome.ACCEPTED for e in events]


@asynccontextmanager
async def running(pipeline: Pipeline, linger_ms: int = 20) -> AsyncIterator[InProcessPublisher]:
    publisher = InProcessPublisher(pipeline.process, linger_ms=linger_ms)
    await publisher.start()
    try:
        yield publisher
    finally:
        pipeline.may_go.set()
        await publisher.stop()


def numbered(*numbers: int) -> list[Event]:
    return [accepted_event(str(number)) for number in numbers]


async def test_concurrent_requests_are_committed_as_one_group() -> None:
    """One call of the pipeline for all, and each request gets its own outcomes in order."""
    pipeline = Pipeline()
    async with running(pipeline) as publisher:
        results = await asyncio.gather(
            publisher.publish(numbered(0, 1)), publisher.publish(numbered(2)), publisher.publish(numbered(3, 4, 5))
        )
    accepted, duplicate = Outcome.ACCEPTED, Outcome.DUPLICATE
    assert list(results) == [[accepted, duplicate], [accepted], [duplicate, accepted, duplicate]]
    assert pipeline.groups == [["0", "1", "2", "3", "4", "5"]]


async def test_group_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full group is committed without waiting for more."""
    monkeypatch.setattr(in_process_publisher, "GROUP_EVENTS_MAX", 4)
    pipeline = Pipeline()
    async with running(pipeline) as publisher:
        await asyncio.gather(*(publisher.publish(numbered(2 * i, 2 * i + 1)) for i in range(5)))
    assert [len(group) for group in pipeline.groups] == [4, 4, 2]


@pytest.mark.parametrize("failure", [TransientError("clickhouse", "away"), ZeroDivisionError()])
async def test_failure_reaches_every_request_of_the_group_and_no_other(failure: Exception) -> None:
    """All of the group may retry; the writer goes on."""
    pipeline = Pipeline()
    pipeline.failure = failure
    async with running(pipeline) as publisher:
        results = await asyncio.gather(*(publisher.publish(numbered(i)) for i in range(3)), return_exceptions=True)
        assert results == [failure] * 3
        pipeline.failure = None
        assert await publisher.publish(numbered(8)) == [Outcome.ACCEPTED]


async def test_pipeline_that_answers_too_little_is_an_invariant_violation() -> None:
    """No outcome is guessed at."""
    pipeline = Pipeline()
    publisher = InProcessPublisher(lambda events: [], linger_ms=0)
    await publisher.start()
    with pytest.raises(InvariantViolation):
        await publisher.publish(numbered(0))
    await publisher.stop()
    assert pipeline.groups == []


async def test_full_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is bounded: past it the caller is told to come back, and room appears when the writer is done."""
    monkeypatch.setattr(in_process_publisher, "QUEUED_EVENTS_MAX", 3)
    pipeline = Pipeline()
    pipeline.may_go.clear()
    async with running(pipeline) as publisher:
        waiting = asyncio.create_task(publisher.publish(numbered(0, 2, 4)))
        await asyncio.sleep(0.01)
        with pytest.raises(TransientError, match="waiting"):
            await publisher.publish(numbered(6))
        pipeline.may_go.set()
        assert await waiting == [Outcome.ACCEPTED] * 3
        assert await publisher.publish(numbered(6)) == [Outcome.ACCEPTED]


async def test_stop_finishes_what_is_queued() -> None:
    """Nothing that was taken is left without an answer; afterwards nothing is taken."""
    pipeline = Pipeline()
    async with running(pipeline, linger_ms=200) as publisher:
        queued = asyncio.create_task(publisher.publish(numbered(0)))
        await asyncio.sleep(0.01)
    assert await queued == [Outcome.ACCEPTED]
    with pytest.raises(TransientError):
        await publisher.publish(numbered(2))
    with pytest.raises(TransientError):
        await publisher.check()


async def test_caller_that_leaves_does_not_stop_the_writing() -> None:
    """Its events are written with the group; the others are answered."""
    pipeline = Pipeline()
    async with running(pipeline) as publisher:
        leaving = asyncio.create_task(publisher.publish(numbered(0)))
        staying = asyncio.create_task(publisher.publish(numbered(2)))
        await asyncio.sleep(0.005)
        leaving.cancel()
        assert await staying == [Outcome.ACCEPTED]
    assert pipeline.groups == [["0", "2"]]
