"""Publishes accepted events to Kafka in packs and answers when every pack is acknowledged.

The only place of ingest that knows the driver: `KafkaTopics` asks the broker about topics, `KafkaProducer` sends
packs and hears of their delivery, `KafkaPublisher` gathers events into packs and answers requests.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ingest.packs import Pack, PackGathering
from schemas.errors import TransientError
from schemas.events import Event, Outcome, encode_line, encode_pack
from schemas.partitioning import partition_key, partition_of
from schemas.settings import Settings
from schemas.topics import MAX_RECORD_BYTES, Topic, record_headers, topics

REQUEST_SECONDS = 5.0
"""How long the broker may take to answer a question about topics."""
CHECK_SECONDS = 2.0
"""How long a health check waits for the broker."""
CONNECT_BACKOFF_SECONDS_MAX = 5.0
"""Longest pause between two attempts to reach a broker that was away at the start."""
SUBSCRIPTIONS_CACHED_MAX = 100_000
"""Partitions remembered by subscription: hashing the key in Python costs more than the rest of a line."""

QUEUED_PACKS_MAX = 20_000
"""Records waiting for the broker; past it requests are answered 503."""
QUEUED_KILOBYTES_MAX = 262_144
"""256 MiB of records waiting for the broker, in the same sense."""
_POLL_SECONDS = 0.001
"""How soon a delivery report is noticed."""


_log = structlog.get_logger(__name__)


class _Request:
    """One `publish`: done when none of its events is unsettled."""

    def __init__(self, events: int, loop: asyncio.AbstractEventLoop) -> None:
        self.unsettled = events
        self.done: asyncio.Future[None] = loop.create_future()

    def expire(self) -> None:
        """Give up waiting: what becomes of the events is not known."""
        if not self.done.done():
            self.done.set_exception(TransientError("kafka", "no acknowledgement in time"))

    def settle(self, events: int, failure: str | None) -> None:
        self.unsettled -= events
        if self.done.done():
            return
        if failure is not None:
            self.done.set_exception(TransientError("kafka", failure))
        elif self.unsettled == 0:
            self.done.set_result(None)


PartitionOf = Callable[[str, str], int]
"""The partition of (organization, subscription)."""

Delivered = Callable[[Pack[_Request], str | None], None]
"""Told on the event loop what became of a pack: None when it is durable, else why that is not known."""


class KafkaPublisher:
    """An `EventPublisher` on Kafka. Every event is answered ACCEPTED: the aggregator knows the duplicates.

    Durable step: the broker's acknowledgement of each pack. A request that fails may have some packs
    acknowledged already; its retry publishes them again and the aggregator counts them once.

    The topic's partition count is read once, at the start: partitions added later are used after a restart.
    """

    def __init__(self, settings: Settings, *, observe_pack: Callable[[int], None]) -> None:
        self._settings = settings
        self._observe_pack = observe_pack
        self._topics = KafkaTopics(settings.kafka_bootstrap_servers)
        self._producer = KafkaProducer(
            settings.kafka_bootstrap_servers,
            settings.usage_events_topic,
            timeout_seconds=settings.publish_timeout_seconds,
            delivered=self._delivered,
        )
        self._gathering: PackGathering[_Request] = PackGathering(
            events_max=settings.pack_events_max, bytes_max=MAX_RECORD_BYTES
        )
        self._linger: asyncio.TimerHandle | None = None
        self._partition_of: PartitionOf | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start producing; the broker is looked for in the background until it answers."""
        self._producer.start()
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Send what is gathered, wait for its acknowledgement, end."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._flush()
        await self._producer.stop(self._settings.publish_timeout_seconds)

    async def check(self) -> None:
        """Raises: TransientError when the broker does not answer, or its topic was not reached yet."""
        name = self._settings.usage_events_topic
        await asyncio.to_thread(self._topics.partitions_of, name, timeout_seconds=CHECK_SECONDS)
        if self._partition_of is None:
            raise TransientError("kafka", "not connected yet")

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """See `EventPublisher.publish`; answers within `publish_timeout_seconds`."""
        if self._partition_of is None:
            raise TransientError("kafka", "not connected yet")
        if not events:
            return []
        loop = asyncio.get_running_loop()
        request = _Request(len(events), loop)
        for partition, lines in _lines_by_partition(events, self._partition_of).items():
            for filled in self._gathering.add(partition, lines, request):
                self._send(filled)
        if self._linger is None:
            self._linger = loop.call_later(self._settings.pack_linger_ms / 1000, self._flush)
        deadline = loop.call_later(self._settings.publish_timeout_seconds, request.expire)
        try:
            await request.done
        finally:
            deadline.cancel()
        return [Outcome.ACCEPTED] * len(events)

    def _flush(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        for pack in self._gathering.drain():
            self._send(pack)

    def _send(self, pack: Pack[_Request]) -> None:
        try:
            self._producer.send(pack)
        except TransientError as error:
            self._delivered(pack, error.reason)
            return
        self._observe_pack(len(pack.lines))

    def _delivered(self, pack: Pack[_Request], failure: str | None) -> None:
        for request, events in pack.senders.items():
            request.settle(events, failure)

    async def _connect(self) -> None:
        """Make the topics where they are missing and read the partition count, for as long as it takes."""
        pause = 0.1
        while True:
            try:
                partitions = await asyncio.to_thread(self._prepare_topics)
            except TransientError as error:
                _log.warning("kafka_unreachable", reason=error.reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, CONNECT_BACKOFF_SECONDS_MAX)
            else:
                self._partition_of = _cached_partition(partitions)
                _log.info("kafka_connected", topic=self._settings.usage_events_topic, partitions=partitions)
                return

    def _prepare_topics(self) -> int:
        settings = self._settings
        for topic in topics(
            settings.usage_events_topic, settings.dead_letter_topic, settings.usage_events_partitions
        ):
            self._topics.create(topic, replication_factor=settings.kafka_replication_factor)
        return self._topics.partitions_of(settings.usage_events_topic)


def _lines_by_partition(events: Sequence[Event], partition_of: PartitionOf) -> dict[int, list[bytes]]:
    lines: dict[int, list[bytes]] = {}
    for event in events:
        partition = partition_of(event.organization_id, event.external_subscription_id)
        line = encode_line(event)
        if partition in lines:
            lines[partition].append(line)
        else:
            lines[partition] = [line]
    return lines


def _cached_partition(partitions: int) -> PartitionOf:
    @lru_cache(maxsize=SUBSCRIPTIONS_CACHED_MAX)
    def partition(organization_id: str, external_subscription_id: str) -> int:
        return partition_of(partition_key(organization_id, external_subscription_id), partitions)

    return partition


class KafkaProducer:
    """Sends packs with acks of all replicas and without duplicates of its own (idempotent producer).

    Delivery reports are fetched on the event loop, for as long as packs are on their way: a polling thread would
    wait for the interpreter lock behind every request, which costs more than the broker takes to acknowledge.
    After a fatal error the producer is replaced: whatever it still held is reported as not delivered.
    """

    def __init__(
        self, bootstrap_servers: str, topic: str, *, timeout_seconds: float, delivered: Delivered
    ) -> None:
        self._config = _producer_config(bootstrap_servers, timeout_seconds)
        self._topic = topic
        self._delivered = delivered
        self._reports: list[tuple[Pack[_Request], KafkaError | None]] = []
        self._on_their_way = 0
        self._producer: Producer | None = None
        self._poll_timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Make the producer; the broker need not be there."""
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(self._config)

    async def stop(self, timeout_seconds: float) -> None:
        """Wait for what is on its way, at most `timeout_seconds`, and end; later packs are refused."""
        producer, self._producer = self._producer, None
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        if producer is not None:
            await asyncio.to_thread(producer.flush, timeout_seconds)
            self._settle()

    def send(self, pack: Pack[_Request]) -> None:
        """Queue `pack`; `delivered` is told about it later.

        Raises: TransientError when the local queue is full, or the producer had to be replaced.
        """
        if self._producer is None:
            raise TransientError("kafka", "stopped")
        try:
            self._producer.produce(
                self._topic,
                value=encode_pack(pack.lines),
                partition=pack.partition,
                headers=record_headers(len(pack.lines)),
                on_delivery=partial(self._report, pack),
            )
        except BufferError as error:
            raise TransientError("kafka", "too much is waiting for the broker") from error
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.fatal():
                self._replace(cause)
            raise TransientError("kafka", str(cause)) from error
        self._on_their_way += 1
        self._poll_later()

    def _report(self, pack: Pack[_Request], error: KafkaError | None, _message: Message) -> None:
        """Called by the driver, on whichever thread asks it for reports: they are settled on the event loop."""
        self._reports.append((pack, error))

    def _poll_later(self) -> None:
        if self._poll_timer is None and self._loop is not None:
            self._poll_timer = self._loop.call_later(_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        self._poll_timer = None
        if self._producer is not None:
            self._producer.poll(0)
            self._settle()
            if self._on_their_way:
                self._poll_later()

    def _settle(self) -> None:
        fatal: KafkaError | None = None
        reports, self._reports = self._reports, []
        self._on_their_way -= len(reports)
        for pack, error in reports:
            self._delivered(pack, None if error is None else str(error))
            if error is not None and (error.fatal() or error.code() == KafkaError._FATAL):
                fatal = error
        if fatal is not None:
            self._replace(fatal)

    def _replace(self, cause: KafkaError) -> None:
        """Put a new producer in the place of one that can never send again."""
        if self._producer is None:
            return
        _log.error("kafka_producer_replaced", reason=str(cause))
        failed, self._producer = self._producer, Producer(self._config)
        failed.purge()
        failed.poll(0)
        self._poll_later()


def _producer_config(bootstrap_servers: str, timeout_seconds: float) -> dict[str, object]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 0,  # packs are gathered here already
        "message.timeout.ms": int(timeout_seconds * 1000),
        "request.timeout.ms": max(1000, int(timeout_seconds * 1000)),
        "reconnect.backoff.max.ms": 1000,  # be back within a second of the broker
        "queue.buffering.max.messages": QUEUED_PACKS_MAX,
        "queue.buffering.max.kbytes": QUEUED_KILOBYTES_MAX,
        "log_level": 0,  # the driver's own lines on stderr say again what `_log_error` says
        "error_cb": _log_error,
    }


def _log_error(error: KafkaError) -> None:
    """A broken connection is tried again several times a second: worth a line only to who looks for it."""
    log = _log.debug if error.code() == KafkaError._TRANSPORT else _log.warning
    log("kafka_error", reason=str(error))


@contextmanager
def _kafka_errors() -> Iterator[None]:
    """Turns the driver's errors into ours: what is asked here can always be asked again."""
    try:
        yield
    except KafkaException as error:
        raise TransientError("kafka", str(error.args[0])) from error


class KafkaTopics:
    """The broker's view of the topics; every call blocks."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient(
            {"bootstrap.servers": bootstrap_servers, "reconnect.backoff.max.ms": 1000, "log_level": 0}
        )

    def create(self, topic: Topic, *, replication_factor: int) -> None:
        """Create `topic` with its settings; an existing one is left as it is.

        Raises: TransientError when the broker cannot be asked or refuses.
        """
        wanted = NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=dict(topic.config),
        )
        created = self._admin.create_topics([wanted], request_timeout=REQUEST_SECONDS)[topic.name]
        try:
            created.result(timeout=2 * REQUEST_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TransientError("kafka", f"creating {topic.name}: {error.args[0]}") from error

    def partitions_of(self, name: str, *, timeout_seconds: float = REQUEST_SECONDS) -> int:
        """How many partitions the topic has.

        Raises: TransientError when the broker does not answer in time or does not know the topic (yet).
        """
        with _kafka_errors():
            metadata = self._admin.list_topics(name, timeout=timeout_seconds).topics[name]
        if metadata.error is not None or not metadata.partitions:
            raise TransientError("kafka", f"{name}: {metadata.error or 'no partitions yet'}")
        return len(metadata.partitions)
