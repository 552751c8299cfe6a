"""The Faust app: consumes packs, counts them, acknowledges them. The only module that knows Faust.

What Faust does that matters here, and what is done about it:

* Its agents take message by message, each through six tasks and a queue, at the cost of counting 15 events. Here
  the agent's stream is one of batches: `GatheredTopic` has a `GatheringQueue` as its queue. `GatheringConsumer`
  puts a message there at once when there is nothing to decide about it; any other (the first one of a partition,
  one behind a gap in the offsets or a full batch) takes Faust's way to the queue.
* It acknowledges what a stream skips while partitions change hands, and what an agent fails on, and then commits
  it. Batches are no Faust events, so the stream has nothing to acknowledge; only `_count` does. A message that is
  too late for its generation is dropped before it is gathered; it is not acknowledged and will be read again.
* It waits for the messages it tracks before it hands partitions over. Each is tracked when it is gathered, so all
  that was gathered is counted and committed first.
* It would commit past a batch that got lost. When preparing or counting fails, or is cancelled while the app goes
  on, the process ends at once, so that the offsets are read again.
* It buffers by messages, and a message is a pack of up to a megabyte. Here nothing but the batch is a buffer, and
  it is bounded by bytes; while it is full, Faust polls no further.
* It has the broker answer a fetch as soon as there is one record, and each answer goes through two event loops.
  `GatheringConsumer` lets the broker gather: at 5,000 events/s that took 40 % off the CPU of a worker.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import NoReturn

import faust
import structlog
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT, StreamT
from faust.types.tuples import TP, Message
from mode.utils.queues import ThrowableQueue

from aggregator.dead_letter_limits import TooManyDeadLetters
from aggregator.decode import FUTURE_US_MAX, OLDEST_TIMESTAMP_US, Record
from aggregator.gathering import Gatherer
from aggregator.record_counter import PreparedRecords, RecordCounter
from aggregator.status import StatusServer, WorkerState
from schemas.settings import Settings
from schemas.time_text import to_microseconds

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
    """Prepared records, and the messages they came with."""

    messages: Sequence[Message]
    prepared: PreparedRecords


class GatheringQueue(ThrowableQueue):  # type: ignore[misc]  # the queue is untyped
    """The queue between Faust's consumer and the agent: messages go in, batches of them come out."""

    def __init__(self, app: AppT, gatherer: Gatherer[Message]) -> None:
        super().__init__(flow_control=app.flow_control)
        self._app = app
        self._gatherer = gatherer

    def add(self, message: Message) -> bool:
        """Gather a message if there is room for it; from then on Faust waits for its acknowledgement."""
        value = message.value or b""
        if not self._gatherer.add(message, events=value.count(b"\n") + 1, size_bytes=len(value)):
            return False
        self._app.consumer.track_message(message)
        self._app.monitor.stream_inbound_time[message.tp] = monotonic()  # Faust complains of partitions without it
        return True

    def is_current(self, message: Message) -> bool:
        """Whether its partition cannot have changed hands since it was fetched."""
        is_of_this_generation = message.generation_id == self._app.consumer_generation_id
        return is_of_this_generation and bool(self._app.flow_control.is_active())

    def full(self) -> bool:
        """Have Faust call `put`, which waits if need be."""
        return True

    async def put(self, message: Message) -> None:
        """Gather a message as soon as there is room, unless a rebalance came first: then it will be read again."""
        while self.is_current(message) and not self.add(message):
            await self._gatherer.wait_for_room()

    async def get(self) -> Sequence[Message]:
        """The next batch."""
        return await self._gatherer.take()


class GatheredTopic(faust.Topic):  # type: ignore[misc]  # the driver is untyped
    """A topic whose stream is one of batches of messages."""

    def __init__(self, *args: object, messages: GatheringQueue, **kwargs: object) -> None:
        self._messages = messages
        super().__init__(*args, **kwargs)

    def _clone_args(self) -> dict[str, object]:
        return {**super()._clone_args(), "messages": self._messages}

    @property
    def queue(self) -> GatheringQueue:
        """The same for all clones."""
        return self._messages

    def _compile_decode(self) -> None:
        async def keep_message(message: Message, *, propagate: bool = False) -> Message:
            return message

        self.decode = keep_message


class GatheringConsumer(driver.Consumer):  # type: ignore[misc]  # the driver is untyped
    """A consumer that gathers what it polls, and whose fetches wait a little for more; no setting does either."""

    def __init__(
        self, *args: object, messages: GatheringQueue, fetch_seconds_max: float, **kwargs: object
    ) -> None:
        self._messages = messages
        self._fetch_seconds_max = fetch_seconds_max
        super().__init__(*args, **kwargs)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Gather the messages that follow the one before in their partition; leave the others to Faust.

        For such a message Faust would do no more than wake two tasks to deliver it and note its offset.
        """
        messages, read_offsets = self._messages, self._read_offset
        async for tp, message in super().getmany(timeout):
            before = read_offsets[tp]
            is_next = before is not None and message.offset == before + 1
            if is_next and messages.is_current(message) and messages.add(message):
                read_offsets[tp] = message.offset
            else:
                yield tp, message

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
        self._prepared: asyncio.Queue[_PreparedBatch] = asyncio.Queue(PREPARED_BATCHES_MAX)

    def run(self) -> None:
        """Consume until SIGTERM or SIGINT; what was gathered is counted and committed first."""
        self._status.change(WorkerState.JOINING)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self.app = self._make_app()  # its queue binds it to the loop
        counting = loop.create_task(self._end_on_failure(self._count_batches()))
        worker = self.app.Worker(loop=loop, loglevel="WARNING", quiet=True, redirect_stdouts=False)
        try:
            worker.execute_from_commandline()
        finally:
            counting.cancel()

    def _make_app(self) -> faust.App:
        settings = self._settings
        app = faust.App(
            settings.aggregator_group,
            broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")],
            datadir=settings.index_dir / "faust",  # Faust asks for one; without tables it stays empty
            store="memory://",
            key_serializer="raw",
            value_serializer="raw",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            processing_guarantee="at_least_once",
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=True,
            broker_max_poll_records=POLLED_RECORDS_MAX,
            broker_session_timeout=settings.aggregator_session_seconds,
            broker_heartbeat_interval=settings.aggregator_session_seconds / HEARTBEATS_PER_SESSION,
            broker_commit_interval=COMMIT_SECONDS,
        )
        gatherer: Gatherer[Message] = Gatherer(
            events_max=settings.flush_events_max, seconds_max=settings.flush_seconds_max
        )
        messages = GatheringQueue(app, gatherer)
        app.transport.Consumer = partial(
            GatheringConsumer,
            messages=messages,
            fetch_seconds_max=settings.flush_seconds_max / FETCH_WAITS_PER_FLUSH,
        )
        topic = GatheredTopic(app, topics=[settings.usage_events_topic], messages=messages)
        app.agent(topic, name="count_usage_events")(self._prepare)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_before_shutdown.connect(self._on_shutdown)
        return app

    async def _prepare(self, stream: StreamT) -> None:
        """The agent."""
        await self._end_on_failure(self._prepare_batches(stream))

    async def _prepare_batches(self, stream: StreamT) -> None:
        """Prepare the next batch in a thread while ClickHouse works on the one before."""
        async for messages in stream:
            await self._prepared.put(await self._prepare_batch(messages))

    async def _prepare_batch(self, messages: Sequence[Message]) -> _PreparedBatch:
        now_us = to_microseconds(datetime.now(UTC))
        records = [_record(message, now_us) for message in messages]
        return _PreparedBatch(messages, await asyncio.to_thread(self._counter.prepare, records))

    async def _count_batches(self) -> None:
        """Count one batch after the other, and acknowledge it."""
        while True:
            await self._count(await self._prepared.get())

    async def _count(self, batch: _PreparedBatch) -> None:
        await asyncio.to_thread(self._counter.count, batch.prepared)
        for message in batch.messages:
            self.app.consumer.ack(message)

    async def _end_on_failure(self, step: Coroutine[None, None, None]) -> None:
        """Run a step; end the process when it fails."""
        try:
            await step
        except asyncio.CancelledError:
            if not self.app.should_stop:
                self._end("a batch was given up while the app goes on, the worker ends")
            raise
        except TooManyDeadLetters as error:
            await self._say_why(error)
            os._exit(EXIT_FAILURE)
        except BaseException:  # noqa: BLE001  # the edge of the process: whatever it is, it must end
            # Anything else would let Faust commit offsets behind events that nobody counted.
            self._end("a batch cannot be counted, the worker ends")

    def _end(self, reason: str) -> NoReturn:
        """Say why, with the exception at hand, and end the process before Faust commits anything."""
        _log.exception(reason)
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


def _record(message: Message, now_us: int) -> Record:
    """A message as a record; a producer's absurd clock is replaced by ours."""
    received_us = int((message.timestamp or 0) * 1_000_000)
    is_plausible = OLDEST_TIMESTAMP_US <= received_us <= now_us + FUTURE_US_MAX
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        value=message.value or b"",
        received_at_us=received_us if is_plausible else now_us,
    )
