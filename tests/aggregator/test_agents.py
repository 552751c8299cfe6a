"""From Faust's consumer to the agent: messages are gathered in their order, held, and dropped in a rebalance."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path

import faust
import pytest
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers.aiokafka import Transport
from faust.types.tuples import TP, ConsumerMessage, Message

from aggregator.agents import GatheredTopic, GatheringConsumer, GatheringQueue
from aggregator.gathering import Gatherer

PLACE = TP("usage", 0)
GENERATION = 3


class PolledConsumer(GatheringConsumer):
    """A consumer whose poll is given."""

    polled: Mapping[TP, Sequence[ConsumerRecord]]

    async def _wait_next_records(self, timeout: float) -> tuple[object, set[TP]]:
        return self.polled, {PLACE}

    def highwater(self, tp: TP) -> int:
        return 100


class Site:
    """An app in the middle of a generation, with a batch of at most three messages."""

    def __init__(self, folder: Path) -> None:
        self.app = faust.App("gathering", datadir=folder, store="memory://")
        self.app.consumer_generation_id = GENERATION
        self.app.flow_control.resume()
        self.gatherer: Gatherer[Message] = Gatherer(events_max=3, seconds_max=0.01)
        self.queue = GatheringQueue(self.app, self.gatherer)
        self.consumer = self.app.consumer = PolledConsumer(
            Transport([], self.app),
            callback=_nothing,
            on_partitions_revoked=_nothing,
            on_partitions_assigned=_nothing,
            messages=self.queue,
            fetch_seconds_max=0.1,
        )

    async def poll(self, *offsets: int) -> list[int]:
        """The offsets that are left to Faust."""
        self.consumer.polled = {PLACE: [_record(offset) for offset in offsets]}
        return [message.offset async for _, message in self.consumer.getmany(1.0)]

    async def taken(self) -> list[int]:
        return [message.offset for message in await asyncio.wait_for(self.queue.get(), timeout=5)]

    def tracked(self) -> list[int]:
        return sorted(message.offset for message in self.consumer.unacked)


Story = Callable[[Site], Coroutine[None, None, None]]
Tell = Callable[[Story], None]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Run a story at a site of its own loop."""

    def run(story: Story) -> None:
        async def at_site() -> None:
            await story(Site(tmp_path))

        asyncio.run(at_site())

    return run


async def _nothing(*_: object) -> None:
    """Nobody listens."""


def _record(offset: int) -> ConsumerRecord:
    return ConsumerRecord("usage", 0, offset, 1_000, 0, None, b"{}", None, -1, 2, ())


def _message(offset: int, generation: int = GENERATION) -> ConsumerMessage:
    return ConsumerMessage(
        "usage", 0, offset, 1.0, 0, [], None, b"{}", None, None, 2, tp=PLACE, generation_id=generation
    )


def test_poll_of_the_next_messages_gathers_and_tracks_them(tell: Tell) -> None:
    """They are in a batch, Faust waits for them, and its position is behind them."""

    async def story(site: Site) -> None:
        site.consumer._read_offset[PLACE] = 6
        assert await site.poll(7, 8) == []
        assert site.consumer._read_offset[PLACE] == 8
        assert site.tracked() == [7, 8]
        assert await site.taken() == [7, 8]

    tell(story)


@pytest.mark.parametrize(
    ("read", "polled", "left"),
    [
        (None, (7,), [7]),
        (7, (7,), [7]),
        (6, (8,), [8]),
        (9, (8,), [8]),
        (6, (7, 9), [9]),
    ],
    ids=["first ever", "first after a seek", "behind a gap", "read before", "a gap midway"],
)
def test_poll_of_any_other_message_leaves_it_to_faust(
    tell: Tell, read: int | None, polled: tuple[int, ...], left: list[int]
) -> None:
    """Faust notes gaps, drops what was read, and knows where a partition starts."""

    async def story(site: Site) -> None:
        site.consumer._read_offset[PLACE] = read
        assert await site.poll(*polled) == left
        assert not set(left) & set(site.tracked())

    tell(story)


def test_poll_beyond_a_full_batch_is_left_to_faust_and_waits_for_room(tell: Tell) -> None:
    """The order stays: the message that waits comes before the next poll."""

    async def story(site: Site) -> None:
        site.consumer._read_offset[PLACE] = 6
        assert await site.poll(7, 8, 9, 10) == [10]
        waiting = asyncio.create_task(site.queue.put(_message(10)))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert site.tracked() == [7, 8, 9]
        assert await site.taken() == [7, 8, 9]
        await asyncio.wait_for(waiting, timeout=5)
        assert await site.taken() == [10]

    tell(story)


def test_poll_while_partitions_change_hands_gathers_nothing(tell: Tell) -> None:
    """What is delivered between suspension and seek is neither gathered nor waited for."""

    async def story(site: Site) -> None:
        site.consumer._read_offset[PLACE] = 6
        site.app.flow_control.suspend()
        assert await site.poll(7) == [7]
        await site.queue.put(_message(7))
        assert site.tracked() == []

    tell(story)


def test_put_of_an_older_generation_drops_the_message_unacknowledged(tell: Tell) -> None:
    """Its partition may be someone else's; if it is not, it is read again from the committed offset."""

    async def story(site: Site) -> None:
        message = _message(7, GENERATION - 1)
        await site.queue.put(message)
        assert site.tracked() == []
        assert message.acked is False

    tell(story)


def test_put_that_waits_when_a_rebalance_starts_drops_the_message(tell: Tell) -> None:
    """Room that comes too late is for the next generation."""

    async def story(site: Site) -> None:
        for offset in (7, 8, 9):
            await site.queue.put(_message(offset))
        late = _message(10)
        waiting = asyncio.create_task(site.queue.put(late))
        await asyncio.sleep(0)
        site.app.flow_control.suspend()
        batch = await site.queue.get()
        site.app.consumer_generation_id = GENERATION + 1
        site.app.flow_control.resume()
        await asyncio.wait_for(waiting, timeout=5)
        assert site.tracked() == [message.offset for message in batch] == [7, 8, 9]
        assert late.acked is False

    tell(story)


def test_stream_of_a_gathered_topic_yields_batches_and_acknowledges_nothing(tell: Tell) -> None:
    """What the agent gets is acknowledged by who counted it, also when the flow is suspended meanwhile."""

    async def story(site: Site) -> None:
        topic = GatheredTopic(site.app, topics=["usage"], messages=site.queue)
        site.app.topics._acking_topics.add("usage")
        stream: AsyncIterator[Sequence[Message]] = aiter(site.app.stream(topic))
        messages = [_message(offset) for offset in (7, 8)]
        for message in messages:
            await site.queue.put(await topic.decode(message, propagate=True))
        site.app.flow_control.suspend()
        assert list(await asyncio.wait_for(anext(stream), timeout=5)) == messages
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), timeout=0.05)
        assert [message.acked for message in messages] == [False, False]
        assert site.tracked() == [7, 8]
        site.consumer.ack(messages[0])
        assert site.tracked() == [8]

    tell(story)
