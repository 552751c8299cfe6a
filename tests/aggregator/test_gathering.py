"""Batches are bounded by events, bytes and time."""

import asyncio

import pytest

from aggregator.gathering import Gatherer


def test_take_when_full_of_events_does_not_wait() -> None:
    """The bound of events ends a batch at once; what does not fit waits for the next one."""

    async def run() -> tuple[list[str], list[str]]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=60)
        await gatherer.add("a", events=6, size_bytes=1)
        adding = asyncio.create_task(gatherer.add("b", events=6, size_bytes=1))
        first = list(await gatherer.take())
        await adding
        await gatherer.add("c", events=4, size_bytes=1)
        return first, list(await gatherer.take())

    assert asyncio.run(run()) == (["a"], ["b", "c"])


def test_take_when_full_of_bytes_does_not_wait() -> None:
    """A record larger than any batch is a batch of its own."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=60, bytes_max=100)
        await gatherer.add("huge", events=1, size_bytes=1000)
        return list(await gatherer.take())

    assert asyncio.run(run()) == ["huge"]


def test_take_partial_batch_comes_after_the_time() -> None:
    """A trickle is not held back longer than the bound."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=0.02)
        await gatherer.add("a", events=1, size_bytes=1)
        return list(await asyncio.wait_for(gatherer.take(), timeout=5))

    assert asyncio.run(run()) == ["a"]


def test_add_to_a_full_batch_waits_until_it_is_taken() -> None:
    """A slow store stops the consumption instead of filling the memory."""

    async def run() -> None:
        gatherer: Gatherer[str] = Gatherer(events_max=1, seconds_max=60)
        await gatherer.add("a", events=1, size_bytes=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gatherer.add("b", events=1, size_bytes=1), timeout=0.05)

    asyncio.run(run())
