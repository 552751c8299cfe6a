"""One server process of a test: started, stopped, killed and frozen by its own pid."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS_MAX = 20
LOG_TAIL_BYTES = 4000


class ServiceProcess:
    """A child process whose output goes to a log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        environ: Mapping[str, str] | None = None,
        user: int | None = None,
        group: int | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if environ is None else dict(environ),
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                # A Ctrl-C at the terminal is for pytest, which stops its services itself.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._child.poll()

    def stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        """Ask the process to end, and kill it if it has not ended after 20 s; safe to repeat."""
        if not self.is_running:
            return
        self._child.send_signal(stop_signal)
        self._child.send_signal(signal.SIGCONT)  # a frozen process would never see the first signal
        try:
            self._child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process with SIGKILL: nothing of it gets a chance to write or say goodbye."""
        if self.is_running:
            self._child.kill()
        self._child.wait()

    def pause(self) -> None:
        """Freeze the process with SIGSTOP: connections stay open and nothing answers."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def children(self) -> tuple[int, ...]:
        """Return the pids of the processes that this one started directly and that still run."""
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = (line.split() for line in listing.stdout.splitlines())
        return tuple(int(pid) for pid, parent in pairs if int(parent) == self.pid)

    def log_tail(self) -> str:
        return tail(self.log)


def tail(log: Path) -> str:
    """Return the last 4,000 bytes of a log, for an error message."""
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else "(no log)"
