"""A service process can be stopped, killed and frozen, and leaves a log."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.services.process import ServiceProcess, tail

TICKER = """
import itertools, time
for tick in itertools.count():
    print(tick, flush=True)
    time.sleep(0.01)
"""

PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""


def start_ticker(folder: Path) -> ServiceProcess:
    process = ServiceProcess([sys.executable, "-c", TICKER], log=folder / "log", cwd=folder)
    wait_for_growth(process)
    return process


def wait_for_growth(process: ServiceProcess) -> None:
    size = process.log.stat().st_size
    deadline = time.monotonic() + 10
    while process.log.stat().st_size == size:
        assert time.monotonic() < deadline, f"the process printed nothing: {process.log_tail()}"
        time.sleep(0.01)


def test_stop_running_process_ends_it(tmp_path: Path) -> None:
    """After stop the process is gone, and stopping again is harmless."""
    process = start_ticker(tmp_path)
    process.stop()
    process.stop()
    assert not process.is_running


def test_stop_frozen_process_ends_it(tmp_path: Path) -> None:
    """A frozen process is woken so that it sees the request to end."""
    process = start_ticker(tmp_path)
    process.pause()
    process.stop()
    assert not process.is_running


@pytest.mark.parametrize("frozen", [False, True])
def test_kill_process_ends_it(tmp_path: Path, frozen: bool) -> None:
    """SIGKILL ends a process whether it runs or is frozen."""
    process = start_ticker(tmp_path)
    if frozen:
        process.pause()
    process.kill()
    assert not process.is_running


def test_pause_process_makes_no_progress_until_resumed(tmp_path: Path) -> None:
    """A frozen process prints nothing and goes on after resume."""
    process = start_ticker(tmp_path)
    process.pause()
    time.sleep(0.05)
    frozen_size = process.log.stat().st_size
    time.sleep(0.1)
    assert process.log.stat().st_size == frozen_size
    process.resume()
    wait_for_growth(process)
    process.kill()


def test_children_of_a_parent_are_listed(tmp_path: Path) -> None:
    """A process started by the service is found by its parent's pid."""
    parent = ServiceProcess([sys.executable, "-c", PARENT], log=tmp_path / "log", cwd=tmp_path)
    wait_for_growth(parent)
    (child,) = parent.children()
    assert parent.log_tail().strip() == str(child)
    parent.kill()
    os.kill(child, signal.SIGKILL)


def test_tail_long_log_keeps_the_end(tmp_path: Path) -> None:
    """An error message carries the last 4,000 bytes, where the reason stands."""
    log = tmp_path / "log"
    log.write_text("a" * 5000 + "reason")
    assert len(tail(log)) == 4000
    assert tail(log).endswith("reason")
