"""The one seam between ingest and what takes its events: Kafka, or the aggregator in the same process."""

from collections.abc import Sequence
from typing import Protocol

from schemas.events import Event, Outcome


class EventPublisher(Protocol):
    """Takes events for good: an outcome is only returned for what is durable."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """Publish all of `events`, answering in their order.

        Raises: TransientError when not all of them are known to be durable; publishing them again is safe.
        """
        ...

    async def check(self) -> None:
        """Raises: TransientError when the path behind the publisher is not working."""
        ...
