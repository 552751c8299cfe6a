"""What became of each scenario: the figures of all its rounds, as a table and as documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

COLUMNS = (
    "scenario",
    "rounds",
    "failed",
    "faults injected",
    "events accepted",
    "duplicates sent",
    "lost",
    "doubled",
    "seconds",
)
UNKNOWN = "–"


@dataclass
class Scenario:
    """The sums over the rounds of a scenario.

    `accepted` are unique events that were acknowledged, `duplicates` sends of an event beyond its first. A
    scenario that `judge` was never called for (it counts no events) has only rounds and seconds.
    """

    name: str
    rounds: int = 0
    failed: int = 0
    faults: int = 0
    accepted: int = 0
    duplicates: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: float = 0.0
    judged: bool = False

    def inject(self, count: int = 1) -> None:
        """Note faults that did happen."""
        self.faults += count

    def judge(self, *, accepted: int, duplicates: int, lost: int, doubled: int) -> None:
        """Note what a recount found; call it before asserting anything about it."""
        self.accepted += accepted
        self.duplicates += duplicates
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
        counts = (self.accepted, self.duplicates, self.lost, self.doubled)
        return [
            self.name,
            str(self.rounds),
            str(self.failed),
            str(self.faults) if self.faults else UNKNOWN,
            *(f"{count:,}" if self.judged else UNKNOWN for count in counts),
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


def write_report(path: Path, scenarios: Sequence[Scenario], seed: int) -> None:
    """Write the figures: JSON where the name ends in .json, Markdown otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_as_json(scenarios, seed) if path.suffix == ".json" else _as_markdown(scenarios, seed))


def _as_json(scenarios: Sequence[Scenario], seed: int) -> str:
    return json.dumps({"seed": seed, "scenarios": [asdict(each) for each in scenarios]}, indent=2) + "\n"


def _as_markdown(scenarios: Sequence[Scenario], seed: int) -> str:
    rules = ["---", *("---:" for _ in COLUMNS[1:])]
    lines = [COLUMNS, rules, *(scenario.cells() for scenario in scenarios)]
    head = [
        "# The last full run of the fault suite",
        "",
        f"`make faults` with seed {seed}; `MILLRACE_FAULT_SEED={seed} make faults` injects the same faults again.",
        "Lost and doubled come from a recount in Python after every round; a dash: the scenario counts no events.",
        "",
    ]
    return "\n".join(head + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"
