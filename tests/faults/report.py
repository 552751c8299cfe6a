"""The figures of a run as a document, whose head says what was run and what was not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tests.faults.scenario import COLUMNS, Scenario
from tests.faults.seeds import FULL_ROUNDS, SEED_VARIABLE


@dataclass(frozen=True)
class FaultRun:
    """One run of the suite.

    `rounds` were asked for of each scenario, which may bound them; `planned` are those of all scenarios together,
    `deselected` what somebody left out, by the short form or by choosing.
    """

    seed: int
    rounds: int
    started_at: datetime
    ended_at: datetime
    planned: int
    deselected: int
    paths: tuple[str, ...]
    """What was named to be run; all of it, if nothing."""
    machine: str

    def extent(self, done: int) -> str:
        """What of the suite this run was."""
        missing = []
        if self.paths:
            missing.append(f"{', '.join(self.paths)} alone")
        if self.deselected:
            missing.append(f"{self.deselected} rounds were left out by choice")
        if done < self.planned:
            missing.append(f"{self.planned - done} rounds did not begin")
        if self.rounds < FULL_ROUNDS:
            missing.append(f"{self.rounds} rounds at most of each scenario instead of {FULL_ROUNDS}")
        return f"Not the full run: {'; '.join(missing)}." if missing else "The full run."


def write_report(path: Path, scenarios: Sequence[Scenario], run: FaultRun) -> None:
    """Write the figures: JSON where the name ends in .json, Markdown otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_as_json(scenarios, run) if path.suffix == ".json" else _as_markdown(scenarios, run))


def _as_json(scenarios: Sequence[Scenario], run: FaultRun) -> str:
    times = {"started_at": run.started_at.isoformat(), "ended_at": run.ended_at.isoformat()}
    return json.dumps(asdict(run) | times | {"scenarios": [asdict(each) for each in scenarios]}, indent=2) + "\n"


def _as_markdown(scenarios: Sequence[Scenario], run: FaultRun) -> str:
    rules = ["---", *("---:" for _ in COLUMNS[1:])]
    lines = [COLUMNS, rules, *(scenario.cells() for scenario in scenarios)]
    return "\n".join(_head(scenarios, run) + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def _head(scenarios: Sequence[Scenario], run: FaultRun) -> list[str]:
    done, failed = sum(each.rounds for each in scenarios), sum(each.failed for each in scenarios)
    minutes = (run.ended_at - run.started_at).total_seconds() / 60
    repeat = " ".join(
        (f"{SEED_VARIABLE}={run.seed} python -m pytest -m faults --fault-rounds {run.rounds}", *run.paths)
    )
    return [
        "# The fault suite: what was lost, what was doubled",
        "",
        f"{run.extent(done)} {done} rounds in {minutes:.0f} minutes, {failed} failed; {run.started_at:%d %B %Y}, "
        f"seed {run.seed}, {run.machine}.",
        "",
        f"`{repeat}` injects the same faults again; `make faults` asks for {FULL_ROUNDS} rounds, of which a "
        "scenario does fewer where more would show nothing new.",
        "",
        "Lost and doubled come from a recount in Python after every round: of events, or of invoices where those "
        "are what is due. A dash: the scenario does not count this.",
        "",
    ]
