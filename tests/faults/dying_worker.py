"""`python -m tests.faults.dying_worker STEP PASSING`: the real worker, which dies at a durable step.

The product has no hooks for this. What the worker works with is wrapped from outside, and at the given passing of
the step the process sends SIGKILL to itself: nothing behind that point runs, in no thread.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import aiokafka

from aggregator.__main__ import main
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.record_counter import RecordCounter


class Step(StrEnum):
    """A moment between two durable steps of a worker, in their order."""

    GATHERED = "gathered"
    """Records are gathered and decoded; nothing is inserted."""
    BEFORE_INSERT = "before_insert"
    """The rows are made, the insert is about to be sent."""
    INSERTED = "inserted"
    """ClickHouse has acknowledged the insert; the index does not know."""
    INDEXED = "indexed"
    """Index and checkpoint are written; nothing is acknowledged."""
    COUNTED = "counted"
    """The batch is through, with its dead letters; nothing is acknowledged."""
    BEFORE_COMMIT = "before_commit"
    """Acknowledged inside the process, the offsets are about to be committed."""
    COMMITTED = "committed"
    """The broker has the committed offsets."""


_PLACES: dict[Step, tuple[type, str, bool]] = {
    Step.GATHERED: (RecordCounter, "count", False),
    Step.BEFORE_INSERT: (EventStore, "insert", False),
    Step.INSERTED: (EventStore, "insert", True),
    Step.INDEXED: (DedupIndex, "add", True),
    Step.COUNTED: (RecordCounter, "count", True),
    Step.BEFORE_COMMIT: (aiokafka.AIOKafkaConsumer, "commit", False),
    Step.COMMITTED: (aiokafka.AIOKafkaConsumer, "commit", True),
}
"""Class, method, and whether the moment lies behind it."""


class Trigger:
    """Counts passings, from any thread, and kills the process at the chosen one."""

    def __init__(self, passing: int) -> None:
        self._left = passing
        self._lock = threading.Lock()

    def pass_by(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def install(step: Step, passing: int) -> None:
    """Wrap the method that the step lies before or behind; `passing` counts from 1."""
    owner, name, is_behind = _PLACES[step]
    wrap = _wrapped_coroutine if inspect.iscoroutinefunction(getattr(owner, name)) else _wrapped
    setattr(owner, name, wrap(getattr(owner, name), Trigger(passing), is_behind=is_behind))


def _wrapped(method: Callable[..., Any], trigger: Trigger, *, is_behind: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    def passing(*args: Any, **kwargs: Any) -> Any:
        if not is_behind:
            trigger.pass_by()
        result = method(*args, **kwargs)
        if is_behind:
            trigger.pass_by()
        return result

    return passing


def _wrapped_coroutine(method: Callable[..., Any], trigger: Trigger, *, is_behind: bool) -> Callable[..., Any]:
    @functools.wraps(method)
    async def passing(*args: Any, **kwargs: Any) -> Any:
        if not is_behind:
            trigger.pass_by()
        result = await method(*args, **kwargs)
        if is_behind:
            trigger.pass_by()
        return result

    return passing


if __name__ == "__main__":
    install(Step(sys.argv[1]), int(sys.argv[2]))
    main()
