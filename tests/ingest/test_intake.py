"""Repeats, concurrent requests and failures around the publisher."""

import asyncio

import pytest

from ingest.intake import EventIntake
from ingest.window import DedupWindow
from schemas.errors import TransientError
from schemas.events import Event, Outcome
from tests.ingest.builders import RecordingPublisher, accepted_event

ACCEPTED, DUPLICATE, CONFLICT, DEAD_LETTER = Outcome

pytestmark = pytest.mark.anyio


def make_intake(publisher: RecordingPublisher, events_max: int = 1000) -> EventIntake:
    return EventIntake(DedupWindow(events_max=events_max, seconds_max=3600), publisher)


def changed(transaction_id: str) -> Event:
    """The event of `transaction_id` with other content."""
    return accepted_event(transaction_id, properties_json=b'{"value":99}')


async def test_repeat_is_a_duplicate_and_other_content_a_conflict() -> None:
    """The first one is published; what comes after it is told apart by content."""
    publisher = RecordingPublisher()
    intake = make_intake(publisher)
    assert await intake.take([accepted_event("a")]) == [ACCEPTED]
    assert await intake.take([accepted_event("a"), changed("a")]) == [DUPLICATE, CONFLICT]
    assert publisher.transaction_ids == ["a"]


async def test_same_id_inside_one_batch_is_published_once() -> None:
    """The first of a batch wins over the later ones."""
    publisher = RecordingPublisher()
    batch = [accepted_event("a"), accepted_event("b"), accepted_event("a"), changed("b")]
    assert await make_intake(publisher).take(batch) == [ACCEPTED, ACCEPTED, DUPLICATE, CONFLICT]
    assert publisher.transaction_ids == ["a", "b"]


async def test_half_known_batch_publishes_the_other_half() -> None:
    """Known ids are reported, new ones kept."""
    publisher = RecordingPublisher()
    intake = make_intake(publisher)
    await intake.take([accepted_event("a"), accepted_event("b")])
    batch = [accepted_event(name) for name in ("a", "b", "c", "d")]
    assert await intake.take(batch) == [DUPLICATE, DUPLICATE, ACCEPTED, ACCEPTED]
    assert publisher.transaction_ids == ["a", "b", "c", "d"]


async def test_refused_event_is_published_by_its_retry() -> None:
    """A failed write leaves nothing in the window: counted once, never zero times."""
    publisher = RecordingPublisher(refusals=1)
    intake = make_intake(publisher)
    with pytest.raises(TransientError):
        await intake.take([accepted_event("a")])
    assert await intake.take([accepted_event("a")]) == [ACCEPTED]
    assert await intake.take([accepted_event("a")]) == [DUPLICATE]
    assert publisher.transaction_ids == ["a"]


async def test_concurrent_repeats_wait_for_the_first() -> None:
    """Sixty-four requests at the same moment publish once."""
    publisher = RecordingPublisher(gate=asyncio.Event())
    intake = make_intake(publisher)
    requests = [asyncio.create_task(intake.take([accepted_event("a")])) for _ in range(64)]
    await asyncio.sleep(0.01)
    assert publisher.gate is not None
    publisher.gate.set()
    outcomes = [outcome for [outcome] in await asyncio.gather(*requests)]
    assert sorted(outcomes) == [ACCEPTED, *[DUPLICATE] * 63]
    assert publisher.transaction_ids == ["a"]


async def test_waiting_repeat_publishes_itself_when_the_first_fails() -> None:
    """The first is answered with its failure; one of those that waited takes its place."""
    publisher = RecordingPublisher(refusals=1, gate=asyncio.Event())
    intake = make_intake(publisher)
    requests = [asyncio.create_task(intake.take([accepted_event("a")])) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert publisher.gate is not None
    publisher.gate.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(results[0], TransientError)
    assert sorted(outcome for result in results[1:] for outcome in result) == [ACCEPTED, *[DUPLICATE] * 6]  # type: ignore[union-attr]
    assert publisher.transaction_ids == ["a"]


async def test_batches_with_ids_in_opposite_order_do_not_block_each_other() -> None:
    """Each publishes what it claimed before it waits for the other."""
    publisher = RecordingPublisher()
    intake = make_intake(publisher)
    a, b, c = (accepted_event(name) for name in "abc")
    results = await asyncio.wait_for(
        asyncio.gather(intake.take([a, b]), intake.take([c, b, a]), intake.take([b, c])), timeout=5
    )
    assert [outcome for result in results for outcome in result].count(ACCEPTED) == 3
    assert sorted(publisher.transaction_ids) == ["a", "b", "c"]


async def test_cancelled_request_releases_its_claim() -> None:
    """A caller that leaves does not lock its ids."""
    publisher = RecordingPublisher(gate=asyncio.Event())
    intake = make_intake(publisher)
    leaving = asyncio.create_task(intake.take([accepted_event("a")]))
    staying = asyncio.create_task(intake.take([accepted_event("a")]))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert publisher.gate is not None
    publisher.gate.set()
    assert await asyncio.wait_for(staying, timeout=5) == [ACCEPTED]


async def test_cancelled_waiter_does_not_disturb_the_others() -> None:
    """Those who wait for the same claim are independent of each other."""
    publisher = RecordingPublisher(gate=asyncio.Event())
    intake = make_intake(publisher)
    requests = [asyncio.create_task(intake.take([accepted_event("a")])) for _ in range(3)]
    await asyncio.sleep(0.01)
    requests[1].cancel()
    await asyncio.sleep(0)
    assert publisher.gate is not None
    publisher.gate.set()
    assert await requests[0] == [ACCEPTED]
    assert await requests[2] == [DUPLICATE]


async def test_outcome_of_the_publisher_is_passed_on() -> None:
    """A publisher that knows more than the window decides; a conflict is not remembered as if it were accepted."""
    publisher = RecordingPublisher()
    publisher.outcomes = {"a": DUPLICATE, "b": CONFLICT}
    intake = make_intake(publisher)
    assert await intake.take([accepted_event("a"), accepted_event("b")]) == [DUPLICATE, CONFLICT]
    assert await intake.take([accepted_event("a"), accepted_event("b")]) == [DUPLICATE, CONFLICT]
    assert publisher.transaction_ids == ["a", "b", "b"]


async def test_repeats_of_a_conflicting_id_in_one_batch_are_asked_for_again() -> None:
    """The first of them conflicts with something older, so the publisher decides on each."""
    publisher = RecordingPublisher()
    publisher.outcomes = {"a": CONFLICT}
    assert await make_intake(publisher).take([accepted_event("a"), changed("a")]) == [CONFLICT, CONFLICT]
    assert publisher.transaction_ids == ["a", "a"]


async def test_batch_that_repeats_a_conflicting_id_is_published_in_two_goes() -> None:
    """Asked for one after the other, ten thousand events with one id would wait for as many commits."""
    publisher = RecordingPublisher()
    publisher.outcomes = {"a": CONFLICT}
    batch = [changed("a") for _ in range(100)]
    assert await make_intake(publisher).take(batch) == [CONFLICT] * 100
    assert [len(events) for events in publisher.calls] == [1, 99]


async def test_dead_letter_that_is_sent_again_is_published_again() -> None:
    """It was kept, not counted: it counts when its cause is gone, and only from then on a repeat is one."""
    publisher = RecordingPublisher()
    publisher.outcomes = {"a": DEAD_LETTER}
    intake = make_intake(publisher)
    assert await intake.take([accepted_event("a"), accepted_event("a")]) == [DEAD_LETTER, DEAD_LETTER]
    publisher.outcomes = {}
    assert await intake.take([accepted_event("a")]) == [ACCEPTED]
    assert await intake.take([accepted_event("a")]) == [DUPLICATE]


async def test_intake_without_a_window_publishes_repeats() -> None:
    """The window is a convenience: without it the aggregator still counts once."""
    publisher = RecordingPublisher()
    intake = make_intake(publisher, events_max=0)
    assert await intake.take([accepted_event("a")]) == [ACCEPTED]
    assert await intake.take([accepted_event("a")]) == [ACCEPTED]
