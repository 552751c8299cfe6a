"""Batches are bounded by events, bytes and time."""

import asyncio

import pytest

from aggregator.gathering import Gatherer


def test_take_when_full_of_events_does_not_wait() -> None:
    """The bound of events ends a batch at once; what does not fit waits for the next one."""

    async def run() -> tuple[list[str], list[str]]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=60)
        assert gatherer.add("a", events=6, size_bytes=1)
        assert not gatherer.add("b", events=6, size_bytes=1)
        first = list(await gatherer.take())
        assert gatherer.add("b", events=6, size_bytes=1)
        assert gatherer.add("c", events=4, size_bytes=1)
        return first, list(await gatherer.take())

    assert asyncio.run(run()) == (["a"], ["b", "c"])


def test_take_when_full_of_bytes_does_not_wait() -> None:
    """A record larger than any batch is a batch of its own."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=60, bytes_max=100)
        gatherer.add("huge", events=1, size_bytes=1000)
        return list(await gatherer.take())

    assert asyncio.run(run()) == ["huge"]


def test_take_partial_batch_comes_after_the_time() -> None:
    """A trickle is not held back longer than the bound."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=10, seconds_max=0.02)
        gatherer.add("a", events=1, size_bytes=1)
        return list(await asyncio.wait_for(gatherer.take(), timeout=5))

    assert asyncio.run(run()) == ["a"]


def test_add_to_a_full_batch_finds_room_once_it_is_taken() -> None:
    """A slow store stops the consumption instead of filling the memory."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=1, seconds_max=60)
        assert gatherer.add("a", events=1, size_bytes=1)
        assert not gatherer.add("b", events=1, size_bytes=1)
        waiting = asyncio.create_task(gatherer.wait_for_room())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), timeout=0.05)
        taken = list(await gatherer.take())
        await asyncio.wait_for(waiting, timeout=5)
        assert gatherer.add("b", events=1, size_bytes=1)
        return taken

    assert asyncio.run(run()) == ["a"]


def test_take_that_waits_comes_with_the_record_that_fills_the_batch() -> None:
    """One that waits for the first record, and then for more, is woken for both."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=2, seconds_max=60)
        taking = asyncio.create_task(gatherer.take())
        for item in ("a", "b"):
            await asyncio.sleep(0.01)
            assert gatherer.add(item, events=1, size_bytes=1)
        return list(await asyncio.wait_for(taking, timeout=5))

    assert asyncio.run(run()) == ["a", "b"]


def test_take_that_is_cancelled_keeps_the_records() -> None:
    """They are in the batch of the next one."""

    async def run() -> list[str]:
        gatherer: Gatherer[str] = Gatherer(events_max=2, seconds_max=60)
        gatherer.add("a", events=1, size_bytes=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gatherer.take(), timeout=0.01)
        gatherer.add("b", events=1, size_bytes=1)
        return list(await asyncio.wait_for(gatherer.take(), timeout=5))

    assert asyncio.run(run()) == ["a", "b"]
