"""What the billing code works with, handed in from outside: the same embedded, in a cluster and in tests."""

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from invoicer.billing.arrival import Arrivals
from invoicer.db.session import SessionFactory
from schemas.clock import Clock
from schemas.reconciliation import UsageAuditor
from schemas.settings import Settings
from schemas.usage import BatchUsageReader, EventReader, WatermarkGate


@dataclass(frozen=True)
class Context:
    """The invoicer's surroundings.

    `time_lock` is held by whoever does due work as time passes: the scheduler waits while the test clock moves.
    """

    sessions: SessionFactory
    clock: Clock
    usage: BatchUsageReader
    events: EventReader
    gate: WatermarkGate
    auditor: UsageAuditor
    settings: Settings
    time_lock: AbstractContextManager[bool] = field(default_factory=threading.RLock, compare=False)

    @property
    def arrivals(self) -> Arrivals:
        """How it is told whether an event came in time."""
        return Arrivals(on_test_clock=self.settings.test_clock is not None)
