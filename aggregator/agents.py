"""The Faust app: consumes packs, counts them, acknowledges them. The only module that knows Faust.

What Faust does that matters here, and what is done about it:

* It acknowledges a message that its stream skips while partitions change hands, although nobody worked on it, and
  then commits it. `HeldTopic` keeps one reference on every message, so only `_count_batches` can let one go.
* It acknowledges what an agent fails on. Nothing fails in the agent: it only gathers. Preparing and counting are
  tasks of their own, and when one fails the process ends at once, so that the offsets are read again.
* It buffers by messages, and a message is a pack of up to a megabyte. Both its buffers are set small.
* It has the broker answer a fetch as soon as there is one record, and each answer goes through two event loops.
  `PatientConsumer` lets the broker gather: at 5,000 events/s that took 40 % off the CPU of a worker.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import faust
import structlog
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import EventT, StreamT
from faust.types.tuples import Message

from aggregator.dead_letter_limits import TooManyDeadLetters
from aggregator.decode import FUTURE_US_MAX, OLDEST_TIMESTAMP_US, Record
from aggregator.gathering import Gatherer
from aggregator.record_counter import PreparedRecords, RecordCounter
from aggregator.status import StatusServer, WorkerState
from schemas.settings import Settings
from schemas.time_text import to_microseconds

BUFFERED_RECORDS_MAX = 64
"""Records a partition may have waiting in Faust."""
POLLED_RECORDS_MAX = 200
HEARTBEATS_PER_SESSION = 5
COMMIT_SECONDS = 0.5
"""How far the committed offsets, which billing waits for, may lag behind the inserts."""
FETCH_BYTES_MIN = 64 * 1024
"""The broker answers a fetch when it has so much, or after the wait below."""
FETCH_WAITS_PER_FLUSH = 5
"""The longest wait for a fetch is this part of the time that records are gathered for anyway."""
PREPARED_BATCHES_MAX = 1
"""Batches that wait for their turn, beside the one being prepared and the one being counted."""
EXIT_FAILURE = 1
LAST_WORDS_SECONDS = 2.0
"""How long `/health` tells of too many dead letters before the process ends, for a probe to see it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _PreparedBatch:
    """Prepared records, and the Faust events they came with."""

    events: Sequence[EventT]
    prepared: PreparedRecords


class HeldTopic(faust.Topic):  # type: ignore[misc]  # the driver is untyped
    """A topic whose messages only `_count_batches` lets go."""

    def _compile_decode(self) -> None:
        super()._compile_decode()
        decode = self.decode  # type: ignore[has-type]  # set by the call above

        async def decode_held(message: Message, *, propagate: bool = False) -> EventT:
            message.incref()
            return await decode(message, propagate=propagate)

        self.decode = decode_held


class PatientConsumer(driver.Consumer):  # type: ignore[misc]  # the driver is untyped
    """A consumer whose fetches wait a little for more; Faust has no setting for that."""

    def __init__(self, *args: object, fetch_seconds_max: float, **kwargs: object) -> None:
        self._fetch_seconds_max = fetch_seconds_max
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        thread = super()._new_consumer_thread()
        create = thread._create_worker_consumer

        def create_patient(transport: object) -> AIOKafkaConsumer:
            consumer = create(transport)
            consumer._fetch_min_bytes = FETCH_BYTES_MIN  # the client passes both on when it starts
            consumer._fetch_max_wait_ms = int(self._fetch_seconds_max * 1000)
            return consumer

        thread._create_worker_consumer = create_patient
        return thread


class AggregatorWorker:
    """A member of the aggregator's consumer group."""

    def __init__(self, settings: Settings, counter: RecordCounter, status: StatusServer) -> None:
        self._settings = settings
        self._counter = counter
        self._status = status
        self.app = self._make_app()

    def run(self) -> None:
        """Consume until SIGTERM or SIGINT; what was gathered is counted and committed first."""
        self._status.change(WorkerState.JOINING)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._gatherer: Gatherer[EventT] = Gatherer(
            events_max=self._settings.flush_events_max, seconds_max=self._settings.flush_seconds_max
        )
        self._prepared: asyncio.Queue[_PreparedBatch] = asyncio.Queue(PREPARED_BATCHES_MAX)
        tasks = [
            loop.create_task(self._end_on_failure(step())) for step in (self._prepare_batches, self._count_batches)
        ]
        worker = self.app.Worker(loop=loop, loglevel="WARNING", quiet=True, redirect_stdouts=False)
        try:
            worker.execute_from_commandline()
        finally:
            for task in tasks:
                task.cancel()

    def _make_app(self) -> faust.App:
        settings = self._settings
        app = faust.App(
            settings.aggregator_group,
            broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")],
            datadir=settings.index_dir / "faust",  # Faust asks for one; without tables it stays empty
            store="memory://",
            Topic=HeldTopic,
            key_serializer="raw",
            value_serializer="raw",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            processing_guarantee="at_least_once",
            consumer_auto_offset_reset="earliest",
            stream_buffer_maxsize=BUFFERED_RECORDS_MAX,
            stream_wait_empty=True,
            broker_max_poll_records=POLLED_RECORDS_MAX,
            broker_session_timeout=settings.aggregator_session_seconds,
            broker_heartbeat_interval=settings.aggregator_session_seconds / HEARTBEATS_PER_SESSION,
            broker_commit_interval=COMMIT_SECONDS,
        )
        app.transport.Consumer = partial(
            PatientConsumer, fetch_seconds_max=settings.flush_seconds_max / FETCH_WAITS_PER_FLUSH
        )
        topic = app.topic(settings.usage_events_topic, value_type=bytes)
        app.agent(topic, name="count_usage_events")(self._gather)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_before_shutdown.connect(self._on_shutdown)
        return app

    async def _gather(self, stream: StreamT) -> None:
        async for event in _events(stream):
            value = event.message.value or b""
            await self._gatherer.add(event, events=value.count(b"\n") + 1, size_bytes=len(value))

    async def _prepare_batches(self) -> None:
        """Prepare the next batch in a thread while ClickHouse works on the one before."""
        while True:
            events = await self._gatherer.take()
            records = [_record(event.message) for event in events]
            prepared = await asyncio.to_thread(self._counter.prepare, records)
            await self._prepared.put(_PreparedBatch(events, prepared))

    async def _count_batches(self) -> None:
        """Count one batch after the other in a thread, and acknowledge it."""
        while True:
            batch = await self._prepared.get()
            await asyncio.to_thread(self._counter.count, batch.prepared)
            for event in batch.events:
                event.message.ack(self.app.consumer, n=event.message.refcount)

    async def _end_on_failure(self, step: Coroutine[None, None, None]) -> None:
        """Run a step; end the process when it fails."""
        try:
            await step
        except asyncio.CancelledError:
            raise
        except TooManyDeadLetters as error:
            await self._say_why(error)
            os._exit(EXIT_FAILURE)
        except BaseException:  # noqa: BLE001  # the edge of the process: whatever it is, it must end
            # Anything else would let Faust commit offsets behind events that nobody counted.
            _log.exception("a batch cannot be counted, the worker ends")
            sys.stdout.flush()
            os._exit(EXIT_FAILURE)

    async def _say_why(self, error: TooManyDeadLetters) -> None:
        self._status.change(WorkerState.TOO_MANY_DEAD_LETTERS, error.reason)
        last = error.last
        _log.error(
            "too many dead letters, the worker ends; nothing is lost: what is not acknowledged is read again",
            reason=error.reason,
            last_code=last.code,
            last_reason=last.reason,
            last_place=f"{last.topic}/{last.position.partition}/{last.position.offset}/{last.position.line}",
        )
        sys.stdout.flush()
        await asyncio.sleep(LAST_WORDS_SECONDS)

    async def _on_revoked(self, *_: object, **__: object) -> None:
        self._counter.forget_partitions()

    async def _on_assigned(self, _: object, assigned: set[object], **__: object) -> None:
        self._counter.forget_partitions()
        self._status.change(WorkerState.RUNNING)
        _log.info("partitions assigned", partitions=sorted(str(partition) for partition in assigned))

    async def _on_shutdown(self, *_: object, **__: object) -> None:
        self._status.change(WorkerState.STOPPING)


async def _events(stream: StreamT) -> AsyncIterator[EventT]:
    """The stream without acknowledging anything."""
    async for event in stream.noack().events():
        yield event


def _record(message: Message) -> Record:
    """A message as a record; a producer's absurd clock is replaced by ours."""
    now_us = to_microseconds(datetime.now(UTC))
    received_us = int((message.timestamp or 0) * 1_000_000)
    is_plausible = OLDEST_TIMESTAMP_US <= received_us <= now_us + FUTURE_US_MAX
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        value=message.value or b"",
        received_at_us=received_us if is_plausible else now_us,
    )
