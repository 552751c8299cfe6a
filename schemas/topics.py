"""The Kafka topics, as data: names, headers and the settings each is created with."""

from dataclasses import dataclass, field

USAGE_EVENTS = "usage.events"
DEAD_LETTERS = "usage.dead_letter"
AGGREGATOR_GROUP = "millrace-aggregator"

SCHEMA_VERSION = "1"
CONTENT_TYPE = "application/x-ndjson"

_SEVEN_DAYS_MS = 7 * 24 * 3600 * 1000
_THIRTY_DAYS_MS = 30 * 24 * 3600 * 1000
MAX_RECORD_BYTES = 1_000_000
"""A pack stays under Kafka's default record limit, so a broker nobody tuned accepts it."""
DEAD_LETTER_BYTES_MAX = 4 * MAX_RECORD_BYTES
"""The longest line that fits into a record of usage.events (2 MB), in base64 and with its reason."""


@dataclass(frozen=True)
class Topic:
    """A topic with the settings it is created with; an existing one is left as it is."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def topics(usage_events: str, dead_letters: str, partitions: int) -> tuple[Topic, Topic]:
    """The topics Millrace owns.

    Retention: events are kept seven days, longer than any outage of ClickHouse that goes unnoticed; dead
    letters thirty, so that somebody gets to read them.
    """
    return (
        Topic(
            usage_events,
            partitions,
            {
                "cleanup.policy": "delete",
                "retention.ms": str(_SEVEN_DAYS_MS),
                "max.message.bytes": str(2 * MAX_RECORD_BYTES),
                "compression.type": "producer",
            },
        ),
        Topic(
            dead_letters,
            1,
            {
                "cleanup.policy": "delete",
                "retention.ms": str(_THIRTY_DAYS_MS),
                "max.message.bytes": str(DEAD_LETTER_BYTES_MAX),
            },
        ),
    )


def record_headers(events: int) -> list[tuple[str, bytes]]:
    """The headers of a pack of `events` events."""
    return [
        ("content-type", CONTENT_TYPE.encode()),
        ("schema-version", SCHEMA_VERSION.encode()),
        ("events", str(events).encode()),
    ]
