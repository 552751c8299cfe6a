"""Publishes to the aggregator's pipeline in the same process: one writer thread, group commit."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.errors import InvariantViolation, TransientError
from schemas.events import Event, Outcome

Process = Callable[[Sequence[Event]], Sequence[Outcome]]
"""Makes events durable and says what became of each, in order; blocking; raises TransientError."""

GROUP_EVENTS_MAX = 50_000
"""Events of one group commit: what one insert takes well; waiting for more only adds latency."""
QUEUED_EVENTS_MAX = 500_000
"""Events waiting for the writer; past it requests are answered 503 instead of filling the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    events: Sequence[Event]
    outcomes: "asyncio.Future[Sequence[Outcome]]"


class InProcessPublisher:
    """An `EventPublisher` that answers when `process` has returned, so that an answer means *counted*.

    Durable step: `process`. A crash before it loses what was never answered; a crash after it leaves durable
    events whose retry `process` recognises. An exception of `process` goes to every request of its group: they
    may be sent again.
    """

    def __init__(self, process: Process, *, linger_ms: int) -> None:
        self._process = process
        self._linger_seconds = linger_ms / 1000
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._queued_events = 0  # touched on the event loop only
        self._writer: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start the writer thread."""
        self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._write, name="event-writer", daemon=True)
        self._writer.start()

    async def stop(self) -> None:
        """Finish what is queued, then end the writer; later publishes are refused."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._requests.put(None)
            await asyncio.to_thread(writer.join)

    async def check(self) -> None:
        """Raises: TransientError when the writer is not running."""
        if self._writer is None or not self._writer.is_alive():
            raise TransientError("event_writer", "not running")

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        """See `EventPublisher.publish`.

        Raises: TransientError when too much is queued, or when the group failed.
        """
        await self.check()
        if self._queued_events + len(events) > QUEUED_EVENTS_MAX:
            raise TransientError("event_writer", f"more than {QUEUED_EVENTS_MAX} events are waiting")
        request = _Request(events, asyncio.get_running_loop().create_future())
        self._queued_events += len(events)
        self._requests.put(request)
        # Shielded: a caller that leaves does not undo the writing, and the future still gets its result.
        return await asyncio.shield(request.outcomes)

    def _write(self) -> None:
        """The writer thread: group after group until it is told to stop."""
        running = True
        while running:
            group, running = self._gather()
            if group:
                self._commit(group)

    def _gather(self) -> tuple[list[_Request], bool]:
        """The next group, and whether to go on after it."""
        group: list[_Request] = []
        gathered = 0
        deadline = float("inf")
        while gathered < GROUP_EVENTS_MAX:
            try:
                request = self._requests.get(timeout=_remaining(deadline))
            except queue.Empty:
                break
            if request is None:
                return group, False
            group.append(request)
            gathered += len(request.events)
            if len(group) == 1:
                deadline = time.monotonic() + self._linger_seconds
        return group, True

    def _commit(self, group: list[_Request]) -> None:
        events = [event for request in group for event in request.events]
        settled: Sequence[Outcome] | Exception
        try:
            settled = self._process(events)
            if len(settled) != len(events):
                settled = InvariantViolation(f"{len(settled)} outcomes for {len(events)} events")
        except Exception as error:  # noqa: BLE001  the edge of the thread: each request is told, and logs it
            settled = error
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._settle, group, settled)

    def _settle(self, group: list[_Request], settled: Sequence[Outcome] | Exception) -> None:
        start = 0
        for request in group:
            end = start + len(request.events)
            self._queued_events -= len(request.events)
            if isinstance(settled, Exception):
                request.outcomes.set_exception(settled)
                request.outcomes.exception()  # the caller may have left; do not report it as never retrieved
            else:
                request.outcomes.set_result(settled[start:end])
            start = end


def _remaining(deadline: float) -> float | None:
    """Seconds to wait for the next request; None waits until there is one."""
    return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
