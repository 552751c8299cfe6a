"""The frame of the suite: one seed repeats a run, rounds differ, and the table says what was found."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.oracle import Recount, StoredRow
from tests.faults.report import FaultRun, write_report
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound, choose_rounds, choose_seed

ACCEPTED = {("sub", "a"): Decimal("0.1"), ("sub", "b"): Decimal("2")}

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_run(**changes: Any) -> FaultRun:
    """A run of 40 minutes."""
    values: dict[str, Any] = {
        "seed": 7,
        "rounds": 20,
        "planned": 1,
        "deselected": 0,
        "paths": (),
        "machine": "a machine",
    } | changes
    return FaultRun(started_at=NOON, ended_at=NOON + timedelta(minutes=40), **values)


def row(transaction_id: str, units: str, value: str | None = None) -> StoredRow:
    """A stored row of the subscription `sub`."""
    return StoredRow(("sub", transaction_id), f'{{"n": "{units}"}}', Decimal(value or units))


def test_fault_round_of_one_seed_repeats_and_rounds_differ() -> None:
    """The same seed, scenario and number give the same numbers; any other gives others."""
    first = FaultRound(7, "killed", 0)
    assert first.random.random() == FaultRound(7, "killed", 0).random.random()
    others = {FaultRound(8, "killed", 0), FaultRound(7, "cut", 0), FaultRound(7, "killed", 1)}
    assert first.random.random() not in {other.random.random() for other in others}


def test_seed_and_rounds_come_from_the_environment() -> None:
    """A given seed is taken, none gives one; the option for rounds stands before the environment."""
    assert choose_seed({"MILLRACE_FAULT_SEED": "42"}) == 42
    assert choose_seed({}) != choose_seed({})
    assert choose_rounds({}, None) == 1
    assert choose_rounds({"MILLRACE_FAULT_ROUNDS": "5"}, None) == 5
    assert choose_rounds({"MILLRACE_FAULT_ROUNDS": "5"}, 20) == 20
    with pytest.raises(ValueError, match="0 rounds"):
        choose_rounds({}, 0)


@pytest.mark.parametrize(
    ("rows", "complaint", "figures"),
    [
        ([row("a", "0.1"), row("b", "2")], None, (0, 0)),
        ([row("a", "0.1")], "1 accepted events are lost", (1, 0)),
        ([row("a", "0.1"), row("b", "2"), row("b", "2"), row("b", "2")], "2 rows too many", (0, 2)),
        ([row("a", "0.1"), row("b", "2"), row("c", "1")], "1 events nobody sent", (0, 0)),
        ([row("a", "0.1"), row("b", "3")], "another content", (0, 0)),
        ([row("a", "0.1", "0.11"), row("b", "2")], "something else", (0, 0)),
    ],
)
def test_oracle_complains_about_whatever_is_not_exact(
    rows: list[StoredRow], complaint: str | None, figures: tuple[int, int]
) -> None:
    """A suite whose oracle accepts anything proves nothing."""
    found = Scenario("oracle")
    recount = Recount(ACCEPTED, rows, "n")
    if complaint is None:
        recount.assert_exact(found)
    else:
        with pytest.raises(AssertionError, match=complaint):
            recount.assert_exact(found)
    assert (found.lost, found.doubled) == figures
    assert recount.totals() == {"sub": (2, Decimal("2.1"))}


def test_report_holds_every_scenario(tmp_path: Path) -> None:
    """As Markdown for people, as JSON for programs; what counts no events has dashes."""
    counted = Scenario("worker killed")
    counted.inject()
    counted.judge(accepted=1200, duplicates=30, lost=0, doubled=0)
    counted.end_round(seconds=2.25, passed=True)
    uncounted = Scenario("clean end")
    uncounted.end_round(seconds=1, passed=False)
    billed = Scenario("invoicer killed")
    billed.judge(invoices=24, lost=1, doubled=0)
    run = make_run(rounds=20, planned=2)
    write_report(tmp_path / "faults.md", [counted, uncounted, billed], run)
    text = (tmp_path / "faults.md").read_text()
    assert "| worker killed | 1 | 0 | 1 | 1,200 | 30 | – | 0 | 0 | 2.2 |" in text
    assert "| clean end | 1 | 1 | – | – | – | – | – | – | 1.0 |" in text
    assert "| invoicer killed | 0 | 0 | – | – | – | 24 | 1 | 0 | 0.0 |" in text
    assert "The full run. 2 rounds in 40 minutes, 1 failed; 01 May 2026, seed 7, a machine." in text
    assert "MILLRACE_FAULT_SEED=7" in text
    write_report(tmp_path / "faults.json", [counted, uncounted], run)
    document = json.loads((tmp_path / "faults.json").read_text())
    assert (document["seed"], [each["accepted"] for each in document["scenarios"]]) == (7, [1200, 0])


@pytest.mark.parametrize(
    ("run", "done", "extent"),
    [
        (make_run(planned=5), 5, "The full run."),
        (make_run(planned=5, rounds=3), 5, "3 rounds at most of each scenario instead of 20"),
        (make_run(planned=5), 4, "1 rounds did not begin"),
        (make_run(planned=5, paths=("tests/faults",)), 5, "tests/faults alone"),
        (make_run(planned=5, deselected=2), 5, "2 rounds were left out by choice"),
    ],
)
def test_report_says_full_run_of_nothing_less(run: FaultRun, done: int, extent: str) -> None:
    """Fewer rounds, a choice of scenarios, a run that was stopped: each is named."""
    assert extent in run.extent(done)
    assert run.extent(done).startswith("Not the full run") is (extent != "The full run.")


def test_fault_round_of_the_short_form_takes_a_part_of_the_places() -> None:
    """Any other takes all of them, in an order of its own."""
    short, full = FaultRound(7, "killed", 0, is_short=True), FaultRound(7, "killed", 0)
    assert len(set(short.choose(short.random, "abcdefg", short=3))) == 3
    assert sorted(full.choose(full.random, "abcdefg", short=3)) == list("abcdefg")
