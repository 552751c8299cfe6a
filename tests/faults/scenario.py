"""What became of each scenario: the figures of all its rounds, and their table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

COLUMNS = (
    "scenario",
    "rounds",
    "failed",
    "faults injected",
    "events accepted",
    "duplicates sent",
    "invoices due",
    "lost",
    "doubled",
    "seconds",
)
UNKNOWN = "–"


@dataclass
class Scenario:
    """The sums over the rounds of a scenario.

    `accepted` are unique events that were acknowledged, `duplicates` sends of an event beyond its first; a
    scenario about invoices says how many were due instead, and loses or doubles those. One that `judge` was never
    called for counts neither, and has only rounds and seconds.
    """

    name: str
    rounds: int = 0
    failed: int = 0
    faults: int = 0
    accepted: int = 0
    duplicates: int = 0
    invoices: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    judged: bool = False

    def inject(self, count: int = 1) -> None:
        """Note faults that did happen."""
        self.faults += count

    def judge(self, *, lost: int, doubled: int, accepted: int = 0, duplicates: int = 0, invoices: int = 0) -> None:
        """Note what a recount found; call it before asserting anything about it."""
        self.accepted += accepted
        self.duplicates += duplicates
        self.invoices += invoices
        self.lost += lost
        self.doubled += doubled
        self.judged = True

    def end_round(self, *, seconds: float, passed: bool) -> None:
        """Note the end of a round."""
        self.rounds += 1
        self.seconds += seconds
        self.failed += not passed

    def cells(self) -> list[str]:
        """The row of the table, as `COLUMNS` says."""
        events = (self.accepted, self.duplicates) if self.accepted else (None, None)
        found = (self.lost, self.doubled) if self.judged else (None, None)
        counts = (*events, self.invoices or None, *found)
        return [
            self.name,
            str(self.rounds),
            str(self.failed),
            str(self.faults) if self.faults else UNKNOWN,
            *(UNKNOWN if count is None else f"{count:,}" for count in counts),
            f"{self.seconds:.1f}",
        ]


def as_table(scenarios: Iterable[Scenario], seed: int) -> Table:
    """The table for a terminal."""
    table = Table(title=f"Faults, seed {seed}")
    for title in COLUMNS:
        table.add_column(title, justify="left" if title == COLUMNS[0] else "right")
    for scenario in scenarios:
        table.add_row(*map(escape, scenario.cells()))
    return table
