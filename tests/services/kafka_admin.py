"""The admin clients of a test run."""

from functools import cache

from confluent_kafka.admin import AdminClient

from aggregator.kafka import TopicCreator


@cache
def kafka_admin(bootstrap_servers: str) -> AdminClient:
    """The client of a broker, which stays until the process ends.

    The driver answers from a thread of its own. A client that goes as soon as its answer is there takes away what
    that thread still returns to, and the process ends with SIGSEGV, now and then.
    """
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})


@cache
def topic_creator(bootstrap_servers: str) -> TopicCreator:
    """What makes the topics of a broker as a worker does; it stays as well."""
    return TopicCreator(bootstrap_servers)
