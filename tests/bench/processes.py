"""What processes spend: CPU time and memory, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
LOAD_GENERATOR = "load generator"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat behind the name in brackets, counted from the state.
_PARENT, _FIRST_TIME, _LAST_TIME = 1, 11, 14


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and its children, running and ended."""
    return sum(_own_cpu_seconds(each) for each in _family(pid))


def _own_cpu_seconds(pid: int) -> float:
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):  # ended since it was listed: its parent has its time now
        return 0.0
    return sum(int(ticks) for ticks in fields[_FIRST_TIME : _LAST_TIME + 1]) / _TICKS_PER_SECOND


def _family(pid: int) -> Iterator[int]:
    yield pid
    for each in PROC.iterdir():
        if each.name.isdigit() and _parent(int(each.name)) == pid:
            yield int(each.name)


def _parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[_PARENT])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _stat(pid: int) -> list[str]:
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def anonymous_megabytes(pid: int) -> float:
    """The memory a process holds for itself: without mapped files, such as the dedup index."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status names no RssAnon")


class CpuWatch:
    """The CPU seconds that named processes, and this one, spend from now on."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = self._now()

    def spent(self) -> dict[str, float]:
        """Seconds a process since the watch began."""
        return {name: seconds - self._before[name] for name, seconds in self._now().items()}

    def _now(self) -> dict[str, float]:
        watched = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        return {**watched, LOAD_GENERATOR: time.process_time()}
