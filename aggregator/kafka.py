"""What the aggregator asks of Kafka besides its stream: topics, offsets, and a place for dead letters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from aggregator.dead_letters import DeadLetter, encode_dead_letter
from schemas.errors import TransientError
from schemas.topics import Topic

ANSWER_SECONDS_MAX = 5.0
"""How long the brokers may take; a request to the API may be waiting."""


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
        with translate_kafka_errors():
            admin = AdminClient({"bootstrap.servers": self._bootstrap_servers})
            requests = admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(self._group, wanted)], request_timeout=ANSWER_SECONDS_MAX
            )
            answered = requests[self._group].result()
        return {item.partition: max(item.offset, 0) for item in answered.topic_partitions}

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
                "isolation.level": "read_uncommitted",
            }
        )
        try:
            with translate_kafka_errors():
                yield consumer
        finally:
            consumer.close()


class DeadLetterProducer:
    """Keeps dead letters in their topic; blocking."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "acks": "all", "message.timeout.ms": 30_000}
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


def create_topics(bootstrap_servers: str, wanted: Sequence[Topic], *, replication_factor: int) -> None:
    """Create the topics that are missing; existing ones are left as they are.

    Raises: TransientError when the brokers do not answer or refuse.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    with translate_kafka_errors():
        existing = admin.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            _create(admin, missing, replication_factor)


def _create(admin: AdminClient, missing: Sequence[Topic], replication_factor: int) -> None:
    requests: Mapping[str, object] = admin.create_topics(
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
