"""Takes valid events for good: repeats are answered from the window, the rest is published once.

Durable steps of one request:
1. its new ids are claimed in memory, so that a concurrent repeat waits instead of publishing;
2. the events are published: durable when this returns. A crash before leaves nothing, a crash after it leaves
   durable events without an answer: the caller's retry is recognised by the aggregator's index (safe);
3. the ids enter the window, the claims are released, the request is answered. A dead letter does not enter it: it
   is kept, and counts when it is sent again after its cause is gone.
When step 2 fails, nothing enters the window: the retry publishes again (safe: the index counts it once).
"""

import asyncio
import time
from collections.abc import Sequence

from ingest.window import DedupWindow
from schemas.events import Event, Outcome
from schemas.publishing import EventPublisher


class _Claim:
    """The ids one request is publishing. `settled` resolves to what is counted now: id → fingerprint."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.settled: asyncio.Future[dict[bytes, int]] = loop.create_future()


class EventIntake:
    """Dedup window, claims and publisher, in this order."""

    def __init__(self, window: DedupWindow, publisher: EventPublisher) -> None:
        self._window = window
        self._publisher = publisher
        self._claims: dict[bytes, _Claim] = {}

    async def take(self, events: Sequence[Event]) -> list[Outcome]:
        """What became of each event; the first of equal ids wins, inside the request too.

        No request waits for another one while it holds a claim itself, so two requests that share ids in
        opposite order cannot block each other.
        Raises: TransientError when not everything is known to be durable; sending it all again is safe.
        """
        self._window.forget(time.monotonic())
        outcomes: list[Outcome | None] = [None] * len(events)
        undecided = list(range(len(events)))
        while undecided:
            mine, again, foreign = self._sort(events, undecided, outcomes)
            if mine:
                await self._publish(events, mine, again, outcomes)
            undecided = await _await_foreign(events, foreign, outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _sort(
        self, events: Sequence[Event], undecided: list[int], outcomes: list[Outcome | None]
    ) -> tuple[dict[bytes, int], list[int], dict[_Claim, list[int]]]:
        """Decides the repeats of the window; the rest is ours to publish (id → index), again in this request, or
        somebody else's.
        """
        ids = [events[index].event_id for index in undecided]
        if not self._window.knows_any(ids) and self._claims.keys().isdisjoint(ids):
            mine = dict(zip(ids, undecided, strict=True))
            if len(mine) == len(ids):  # all of them are new, as in most requests
                return mine, [], {}
        return self._sort_one_by_one(events, undecided, outcomes)

    def _sort_one_by_one(
        self, events: Sequence[Event], undecided: list[int], outcomes: list[Outcome | None]
    ) -> tuple[dict[bytes, int], list[int], dict[_Claim, list[int]]]:
        mine: dict[bytes, int] = {}
        again: list[int] = []
        foreign: dict[_Claim, list[int]] = {}
        for index in undecided:
            event = events[index]
            event_id = event.event_id
            known = self._window.fingerprint(event_id)
            if known is not None:
                outcomes[index] = _repeat(known, event)
            elif event_id in mine:
                again.append(index)
            elif (claim := self._claims.get(event_id)) is not None:
                foreign.setdefault(claim, []).append(index)
            else:
                mine[event_id] = index
        return mine, again, foreign

    async def _publish(
        self, events: Sequence[Event], mine: dict[bytes, int], again: list[int], outcomes: list[Outcome | None]
    ) -> None:
        """Publishes the first event of each id, then those repeats of it that nothing here can tell apart."""
        claim = _Claim(asyncio.get_running_loop())
        self._claims.update(dict.fromkeys(mine, claim))
        counted: dict[bytes, int] = {}
        try:
            await self._publish_all(events, list(mine.values()), outcomes, counted)
            untold: list[int] = []
            for index in again:
                known = counted.get(events[index].event_id)
                if known is None:  # the content that was accepted is not known here, or none of it was counted
                    untold.append(index)
                else:
                    outcomes[index] = _repeat(known, events[index])
            if untold:  # together: one after the other, a batch that repeats one id would take a commit for each
                await self._publish_all(events, untold, outcomes, counted)
        finally:
            for event_id in mine:
                del self._claims[event_id]
            claim.settled.set_result(counted)

    async def _publish_all(
        self,
        events: Sequence[Event],
        indexes: Sequence[int],
        outcomes: list[Outcome | None],
        counted: dict[bytes, int],
    ) -> None:
        """Publishes these events; those counted with the content they have enter `counted` and the window."""
        published = await self._publisher.publish([events[index] for index in indexes])
        for index, outcome in zip(indexes, published, strict=True):
            outcomes[index] = outcome
            if outcome is Outcome.ACCEPTED or outcome is Outcome.DUPLICATE:
                counted[events[index].event_id] = events[index].fingerprint
        self._window.remember(counted, time.monotonic())


async def _await_foreign(
    events: Sequence[Event], foreign: dict[_Claim, list[int]], outcomes: list[Outcome | None]
) -> list[int]:
    """Waits for other requests; returns the indexes that they left undecided (theirs failed)."""
    undecided: list[int] = []
    for claim, indexes in foreign.items():
        counted = await asyncio.shield(claim.settled)  # a caller that leaves must not cancel it for the others
        for index in indexes:
            known = counted.get(events[index].event_id)
            if known is None:
                undecided.append(index)
            else:
                outcomes[index] = _repeat(known, events[index])
    return undecided


def _repeat(known_fingerprint: int, event: Event) -> Outcome:
    return Outcome.DUPLICATE if event.fingerprint == known_fingerprint else Outcome.CONFLICT
