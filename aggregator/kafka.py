"""What the aggregator asks of Kafka besides its stream: topics, offsets, and a place for dead letters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from aggregator.dead_letters import DeadLetter, encode_dead_letter
from schemas.errors import TransientError
from schemas.partitioning import partition_of
from schemas.topics import DEAD_LETTER_BYTES_MAX, MAX_RECORD_BYTES, Topic, record_headers

ANSWER_SECONDS_MAX = 5.0
"""How long the brokers may take; a request to the API may be waiting."""
FETCH_WAIT_MS = 50
"""How long a broker waits for a record before it says that there is none."""


class KafkaOffsets:
    """The offsets of one topic and of one consumer group on it; every call blocks.

    Raises: TransientError when the brokers do not answer.
    """

    def __init__(self, bootstrap_servers: str, topic: str, group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._group = group

    def ends(self) -> dict[int, int]:
        """The next offset of every partition."""
        with self._consumer() as consumer:
            return {
                partition: self._watermarks(consumer, partition)[1] for partition in self._partitions(consumer)
            }

    def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """The oldest offset still kept, of each partition."""
        with self._consumer() as consumer:
            return {partition: self._watermarks(consumer, partition)[0] for partition in partitions}

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset the group will count; 0 where it has committed none."""
        wanted = [TopicPartition(self._topic, partition) for partition in partitions]
        if not wanted:
            return {}
        with self._consumer() as consumer:
            answered = consumer.committed(wanted, timeout=ANSWER_SECONDS_MAX)
        for item in answered:
            if item.error is not None:
                raise TransientError("kafka", f"committed offset of partition {item.partition}: {item.error}")
        return {item.partition: max(item.offset, 0) for item in answered}

    def with_records(self, stretches: Mapping[int, tuple[int, int]]) -> set[int]:
        """The partitions that hold a record in their stretch: from an offset on, before another.

        Offsets without one are what ends a transaction, or what compaction took.
        """
        found: set[int] = set()
        unread = set(stretches)
        deadline = monotonic() + ANSWER_SECONDS_MAX
        with self._consumer() as consumer:
            consumer.assign([TopicPartition(self._topic, each, start) for each, (start, _) in stretches.items()])
            while unread:
                message = consumer.poll(max(deadline - monotonic(), 0))
                if message is None:
                    raise TransientError("kafka", f"{self._topic}: no answer in {ANSWER_SECONDS_MAX:.0f} s")
                partition = _partition_of(message)
                if message.error() is None and message.offset() < stretches[partition][1]:
                    found.add(partition)
                unread.discard(partition)
        return found

    def _partitions(self, consumer: Consumer) -> list[int]:
        topic = consumer.list_topics(self._topic, timeout=ANSWER_SECONDS_MAX).topics[self._topic]
        if topic.error is not None:
            raise TransientError("kafka", f"{self._topic}: {topic.error}")
        return sorted(topic.partitions)

    def _watermarks(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        offsets = consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), timeout=ANSWER_SECONDS_MAX
        )
        if offsets is None:
            raise TransientError("kafka", f"no offsets of partition {partition} in {ANSWER_SECONDS_MAX:.0f} s")
        return int(offsets[0]), int(offsets[1])

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        """A consumer that only asks for offsets and never joins the group.

        `read_uncommitted` makes the end the true end, also behind an open transaction.
        """
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": self._group,
                "enable.auto.commit": False,
                "log_level": 0,  # the driver's own lines on stderr say again what the error raised says
                "isolation.level": "read_uncommitted",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
                "queued.min.messages": 1,  # the first record of a stretch is enough
            }
        )
        try:
            with translate_kafka_errors():
                yield consumer
        finally:
            consumer.close()


def _partition_of(message: Message) -> int:
    """The partition that a record is of, or that ends here. Raises: KafkaException for any other error."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return int(message.partition())


class DeadLetterProducer:
    """Keeps dead letters in their topic; blocking."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "message.timeout.ms": 30_000,
                "message.max.bytes": DEAD_LETTER_BYTES_MAX,
            }
        )
        self._topic = topic

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Produce letters and wait for the brokers to have them.

        Raises: TransientError when not all of them are known to be kept; sending them again may repeat some.
        """
        failures: list[str] = []

        def report(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error.str())

        with translate_kafka_errors():
            for letter in letters:
                key = f"{letter.topic}/{letter.position.partition}"
                self._producer.produce(self._topic, encode_dead_letter(letter), key=key, on_delivery=report)
                self._producer.poll(0)
            unsent = self._producer.flush(2 * ANSWER_SECONDS_MAX)
        if unsent or failures:
            raise TransientError("kafka", f"dead letters: {failures[0] if failures else f'{unsent} unsent'}")


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """A record with the time the broker or its producer gave it, in milliseconds since the epoch."""

    value: bytes
    timestamp_ms: int


class TopicReader:
    """What a topic holds when the reading begins, oldest first in each partition; nothing is committed."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        offsets = KafkaOffsets(bootstrap_servers, topic, group=f"{topic}.reader")
        self._ends = offsets.ends()
        self._starts = offsets.starts(self._ends)

    def __len__(self) -> int:
        """Offsets there are to read: never fewer than records."""
        return sum(end - self._starts[partition] for partition, end in self._ends.items())

    def __iter__(self) -> Iterator[TopicRecord]:
        """The records. Raises: TransientError when the brokers do not answer."""
        unread = {partition for partition, end in self._ends.items() if end > self._starts[partition]}
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": f"{self._topic}.reader",  # the driver asks for one; nothing is committed to it
                "log_level": 0,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            with translate_kafka_errors():
                consumer.assign([TopicPartition(self._topic, each, self._starts[each]) for each in unread])
                while unread:
                    message = self._poll(consumer)
                    partition, offset = message.partition(), message.offset()
                    if offset + 1 >= self._ends[partition] or message.error() is not None:
                        unread.discard(partition)
                    if message.error() is None and offset < self._ends[partition]:
                        yield TopicRecord(message.value() or b"", max(message.timestamp()[1], 0))
        finally:
            consumer.close()

    def _poll(self, consumer: Consumer) -> Message:
        """The next record, or the end of a partition."""
        deadline = monotonic() + 2 * ANSWER_SECONDS_MAX
        while monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return message
            if not error.retriable():
                raise KafkaException(error)
        raise TransientError("kafka", f"{self._topic}: no answer in {2 * ANSWER_SECONDS_MAX:.0f} s")


class LineProducer:
    """Produces lines as packs of one into a topic that exists, each to the partition of its key; blocking.

    Raises: TransientError when the brokers do not answer.
    """

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "log_level": 0,
                "message.timeout.ms": 30_000,
                "message.max.bytes": 2 * MAX_RECORD_BYTES,
            }
        )
        self._topic = topic
        self._partitions = len(KafkaOffsets(bootstrap_servers, topic, group=f"{topic}.reader").ends())

    def send(self, lines: Sequence[tuple[bytes, bytes]]) -> None:
        """Produce (key, line) pairs and wait for the brokers to have them.

        Raises: TransientError when not all of them are known to be kept; sending them again may repeat some.
        """
        failures: list[str] = []

        def report(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error.str())

        with translate_kafka_errors():
            for key, line in lines:
                partition = partition_of(key, self._partitions)
                self._producer.produce(
                    self._topic, line, key=key, partition=partition, headers=record_headers(1), on_delivery=report
                )
                self._producer.poll(0)
            unsent = self._producer.flush(6 * ANSWER_SECONDS_MAX)
        if unsent or failures:
            raise TransientError("kafka", failures[0] if failures else f"{unsent} lines unsent")


class TopicCreator:
    """Creates topics; blocking. To be kept until the process ends.

    The driver answers from a thread of its own. A client that goes as soon as its answer is there takes away what
    that thread still returns to, and the process ends with SIGSEGV, in some seven of thirty
    starts on a busy machine.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def create_missing(self, wanted: Sequence[Topic], *, replication_factor: int) -> None:
        """Create the topics that are missing; existing ones are left as they are.

        Raises: TransientError when the brokers do not answer or refuse.
        """
        with translate_kafka_errors():
            existing = self._admin.list_topics(timeout=ANSWER_SECONDS_MAX).topics
            missing = [topic for topic in wanted if topic.name not in existing]
            if missing:
                self._create(missing, replication_factor)

    def _create(self, missing: Sequence[Topic], replication_factor: int) -> None:
        requests: Mapping[str, object] = self._admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    num_partitions=topic.partitions,
                    replication_factor=replication_factor,
                    config=dict(topic.config),
                )
                for topic in missing
            ],
            request_timeout=ANSWER_SECONDS_MAX,
        )
        for request in requests.values():
            try:
                request.result()  # type: ignore[attr-defined]  # a Future; the driver is untyped
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise


@contextmanager
def translate_kafka_errors() -> Iterator[None]:
    """Turn what a retry may cure into TransientError; a fatal error of the client stays what it is."""
    try:
        yield
    except (KafkaException, BufferError) as error:
        cause = error.args[0]
        if isinstance(cause, KafkaError) and cause.fatal():
            raise
        raise TransientError("kafka", str(cause)) from error
