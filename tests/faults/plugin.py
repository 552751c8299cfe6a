"""The frame of the fault suite as a pytest plugin: seed, rounds, and the table at the end.

A scenario is a test with the marker `faults`. It asks for `fault_round` to be repeated with other random numbers,
and for `scenario` to note what it injected and what a recount found:

    @pytest.mark.faults
    def test_worker_killed_counts_once(fault_round: FaultRound, scenario: Scenario) -> None: ...

`@pytest.mark.faults(rounds_max=3)` bounds the rounds of a costly one. The short form, a run of one round, takes
by the seed one variant of each parametrized scenario that says `one_of_its_variants=True`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.machine import describe_machine
from tests.faults.report import FaultRun, write_report
from tests.faults.scenario import Scenario, as_table
from tests.faults.seeds import SEED_VARIABLE, FaultRound, choose_rounds, choose_seed

TABLE_WIDTH = 160
SHORT_FORM = (
    "faults: the short form, by the seed: one round of each scenario, at a part of the steps to die at (2 of a "
    "worker's 7, 2 of an invoicer's 5), and one variant of some; `make faults` does all of them many times"
)

_seed = pytest.StashKey[int]()
_rounds = pytest.StashKey[int]()
_scenarios = pytest.StashKey[dict[str, Scenario]]()
_started_at = pytest.StashKey[datetime]()
_planned = pytest.StashKey[int]()
_deselected = pytest.StashKey[int]()
_shortened = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite."""
    group = parser.getgroup("faults")
    group.addoption("--fault-rounds", type=int, default=None, help="how often each fault scenario is repeated")
    group.addoption("--fault-report", type=Path, default=None, help="where to write the table: .md or .json")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed before anything is collected."""
    config.stash[_seed] = choose_seed(os.environ)
    config.stash[_rounds] = choose_rounds(os.environ, config.getoption("--fault-rounds"))
    config.stash[_scenarios] = {}
    config.stash[_started_at] = datetime.now(UTC)
    config.stash[_planned] = config.stash[_deselected] = 0
    config.stash[_shortened] = []


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed of every run."""
    return f"faults: {SEED_VARIABLE}={config.stash[_seed]}, rounds: {config.stash[_rounds]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the short form does not do."""
    if not _is_short(config):
        return
    variants: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        marker = item.get_closest_marker("faults")
        if marker is not None and marker.kwargs.get("one_of_its_variants", False):
            variants[item.nodeid.partition("[")[0]].append(item)
    chosen = [FaultRound(config.stash[_seed], name, 0).random.choice(each) for name, each in variants.items()]
    left_out = [item for each in variants.values() for item in each if item not in chosen]
    config.stash[_shortened] = [_name(item) for item in left_out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the scenarios that somebody left out."""
    for item in items:
        if item.get_closest_marker("faults") is not None:
            item.config.stash[_deselected] += 1


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count what is to be done."""
    planned = [item for item in session.items if item.get_closest_marker("faults") is not None]
    session.config.stash[_planned] = len(planned)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say what the short form leaves out."""
    if not config.stash[_planned] or not _is_short(config):
        return []
    left_out = [f"faults: left out: {name}" for name in config.stash[_shortened]]
    return [SHORT_FORM, *left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what asks for `fault_round`."""
    if "fault_round" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("faults")
    rounds = metafunc.config.stash[_rounds]
    if marker is not None and "rounds_max" in marker.kwargs:
        rounds = min(rounds, marker.kwargs["rounds_max"])
    metafunc.parametrize("fault_round", range(rounds), indirect=True, ids=[f"round{n}" for n in range(rounds)])


@pytest.fixture
def fault_round(request: pytest.FixtureRequest) -> FaultRound:
    """This repetition of the scenario, with its random numbers."""
    config = request.config
    return FaultRound(config.stash[_seed], _name(request.node), request.param, is_short=_is_short(config))


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """The figures of this scenario, over all its rounds."""
    return _scenario(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count rounds, and put the seed beside every failure."""
    report = yield
    if item.get_closest_marker("faults") is None:
        return report
    if report.when == "call" or (report.when == "setup" and not report.passed):
        _scenario(item).end_round(seconds=report.duration, passed=report.passed)
    if report.failed:
        seed = item.config.stash[_seed]
        report.sections.append(("faults", f"{SEED_VARIABLE}={seed} repeats this round: {item.nodeid}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table when there were scenarios, and write the report that was asked for."""
    scenarios = list(config.stash[_scenarios].values())
    if not scenarios:
        return
    text = StringIO()
    Console(file=text, width=TABLE_WIDTH).print(as_table(scenarios, config.stash[_seed]))
    terminalreporter.write_line(text.getvalue())
    report_path: Path | None = config.getoption("--fault-report")
    if report_path is not None:
        write_report(report_path, scenarios, _run(config))


def _is_short(config: pytest.Config) -> bool:
    return config.stash[_rounds] == 1


def _run(config: pytest.Config) -> FaultRun:
    return FaultRun(
        seed=config.stash[_seed],
        rounds=config.stash[_rounds],
        started_at=config.stash[_started_at],
        ended_at=datetime.now(UTC),
        planned=config.stash[_planned],
        deselected=config.stash[_deselected],
        paths=() if config.args == config.getini("testpaths") else tuple(map(str, config.args)),
        machine=", ".join(f"{name}: {value}" for name, value in describe_machine().items()),
    )


def _scenario(item: pytest.Item) -> Scenario:
    name = _name(item)
    return item.config.stash[_scenarios].setdefault(name, Scenario(name))


def _name(item: pytest.Item) -> str:
    """The test's name as words, with its parameters other than the round."""
    words = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    given = item.name.partition("[")[2].removesuffix("]")
    others = [part for part in given.split("-") if part and not part.startswith("round")]
    return f"{words} [{'-'.join(others)}]" if others else words
