"""What the billing code works with, handed in from outside: the same embedded, in a cluster and in tests."""

from dataclasses import dataclass

from invoicer.db.session import SessionFactory
from schemas.clock import Clock
from schemas.settings import Settings
from schemas.usage import EventReader, UsageReader, WatermarkGate


@dataclass(frozen=True)
class Context:
    """The invoicer's surroundings."""

    sessions: SessionFactory
    clock: Clock
    usage: UsageReader
    events: EventReader
    gate: WatermarkGate
    settings: Settings
