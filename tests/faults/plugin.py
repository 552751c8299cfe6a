"""The frame of the fault suite as a pytest plugin: seed, rounds, and the table at the end.

A scenario is a test with the marker `faults`. It asks for `fault_round` to be repeated with other random numbers,
and for `scenario` to note what it injected and what a recount found:

    @pytest.mark.faults
    def test_worker_killed_counts_once(fault_round: FaultRound, scenario: Scenario) -> None: ...

`@pytest.mark.faults(rounds_max=3)` bounds the rounds of a costly one.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults.scenario import Scenario, as_table, write_report
from tests.faults.seeds import SEED_VARIABLE, FaultRound, choose_rounds, choose_seed

TABLE_WIDTH = 160

_seed = pytest.StashKey[int]()
_rounds = pytest.StashKey[int]()
_scenarios = pytest.StashKey[dict[str, Scenario]]()


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


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed of every run."""
    return f"faults: {SEED_VARIABLE}={config.stash[_seed]}, rounds: {config.stash[_rounds]}"


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
    return FaultRound(request.config.stash[_seed], _name(request.node), request.param)


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
        write_report(report_path, scenarios, config.stash[_seed])


def _scenario(item: pytest.Item) -> Scenario:
    name = _name(item)
    return item.config.stash[_scenarios].setdefault(name, Scenario(name))


def _name(item: pytest.Item) -> str:
    """The test's name as words, with its parameters other than the round."""
    words = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    given = item.name.partition("[")[2].removesuffix("]")
    others = [part for part in given.split("-") if part and not part.startswith("round")]
    return f"{words} [{'-'.join(others)}]" if others else words
