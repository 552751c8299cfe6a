"""A real PostgreSQL server for tests, run from this machine's own programs on the loopback address.

A test of durability:

    with PostgresServer(find_postgres_programs()) as server:
        engine = create_engine(server.create_database("billing"))
        server.kill()       # SIGKILL of every process: only what was committed comes back
        server.restart()    # same port, same data
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.services.entered import EnteredService
from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK, free_port
from tests.services.process import ServiceProcess, tail

MAJOR_MIN = 15
START_SECONDS_MAX = 60
PROBE_SECONDS = 0.1
SUPERUSER = "millrace"
# Debian keeps the server programs off the PATH, one folder per major version.
DEBIAN_FOLDER = Path("/usr/lib/postgresql")
UNPRIVILEGED_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class PostgresPrograms:
    """The folder that holds one version's `initdb` and `postgres`."""

    major: int
    folder: Path


@dataclass(frozen=True)
class Account:
    """The operating system user that the server runs as."""

    user: int
    group: int


def find_postgres_programs() -> PostgresPrograms | None:
    """Return the newest server programs of this machine, at least of major version 15, or None."""
    on_path = shutil.which("initdb")
    folders = [*DEBIAN_FOLDER.glob("*/bin"), *([Path(on_path).resolve().parent] if on_path else [])]
    found = [PostgresPrograms(_major(folder), folder) for folder in folders if (folder / "initdb").exists()]
    fit = [programs for programs in found if programs.major >= MAJOR_MIN]
    return max(fit, key=lambda programs: programs.major, default=None)


def unprivileged_account() -> Account | None:
    """Return the account to drop to, or None where we are not root and need not drop: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in UNPRIVILEGED_USERS:
        if name in known:
            return Account(user=known[name].pw_uid, group=known[name].pw_gid)
    raise ServiceUnavailable(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(UNPRIVILEGED_USERS)}"
    )


class PostgresServer(EnteredService):
    """One server with its own data directory, which lives as long as the object is entered.

    fsync is on, as in production: tests of durability mean what they say.
    """

    def __init__(self, programs: PostgresPrograms) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="millrace-postgres-"))
        self._programs = programs
        self._account = unprivileged_account()
        self._password = secrets.token_hex(12)
        self._process: ServiceProcess | None = None

    @property
    def url(self) -> str:
        """The SQLAlchemy address of the maintenance database `postgres`."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def process(self) -> ServiceProcess:
        if self._process is None:
            raise ServiceUnavailable("this PostgreSQL server was not started")
        return self._process

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy address."""
        return create_database(self.url, name)

    def start(self) -> None:
        """Initialise the data directory on the first start, run the server and wait until it answers.

        Raises:  ServiceUnavailable with the end of the log after 60 s, or as soon as the server has ended.
        """
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._initialise()
        command = [str(self._programs.folder / "postgres"), "-D", str(self.folder / "data"), *self._settings()]
        account = self._account
        self._process = ServiceProcess(
            command,
            log=self.log,
            cwd=self.folder,
            user=None if account is None else account.user,
            group=None if account is None else account.group,
        )
        self._wait_until_answering()

    def stop(self) -> None:
        """Shut down in order, ending open sessions; the data stays until the object is closed."""
        self.process.stop(signal.SIGINT)

    def kill(self) -> None:
        """End every process of the server with SIGKILL: no session gets to finish or say goodbye.

        The postmaster is frozen first: it would otherwise see its children die and start to recover.
        """
        self.process.pause()
        for pid in self.process.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()

    def restart(self) -> None:
        """Start the server again on the same port and data, after stopping it if it still runs."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server if it runs and remove its data."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _initialise(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        self._hand_over([self.folder, password_file])
        account = self._account
        done = subprocess.run(
            [
                str(self._programs.folder / "initdb"),
                *("-D", str(self.folder / "data"), "-U", SUPERUSER, f"--pwfile={password_file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"),
            ],
            cwd=self.folder,
            user=None if account is None else account.user,
            group=None if account is None else account.group,
            extra_groups=None if account is None else [],
            capture_output=True,
            text=True,
            timeout=START_SECONDS_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise ServiceUnavailable(f"initdb failed:\n{done.stdout}{done.stderr}{self._blocked_parent()}")

    def _hand_over(self, paths: list[Path]) -> None:
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.user, self._account.group)

    def _blocked_parent(self) -> str:
        """Name the first parent folder that other users may not enter: initdb's own message does not."""
        blocked = [folder for folder in self.folder.parents if not folder.stat().st_mode & 0o001]
        return f"\nother users may not enter {blocked[0]}: set TMPDIR to a folder they may" if blocked else ""

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self.process.is_running:
            if answers(self.url):
                return
            time.sleep(PROBE_SECONDS)
        state = f"did not answer within {START_SECONDS_MAX} s" if self.process.is_running else "ended at its start"
        raise ServiceUnavailable(f"PostgreSQL {self._programs.major} {state}:\n{tail(self.log)}")


def answers(url: str, timeout_seconds: int = 5) -> bool:
    """Say whether a server accepts a session at this SQLAlchemy address."""
    try:
        psycopg.connect(as_libpq(url), connect_timeout=timeout_seconds).close()
    except psycopg.OperationalError:
        return False
    return True


def as_libpq(url: str) -> str:
    """Return the address as libpq writes it, without SQLAlchemy's driver."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


def as_sqlalchemy(url: str) -> str:
    """Return the address with the driver that the project uses, however it was written."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)


def with_database(url: str, name: str) -> str:
    """Return the same address with another database."""
    return re.sub(r"^([^:]+://[^/?]+)(/[^?]*)?", lambda match: f"{match[1]}/{name}", url)


def create_database(url: str, name: str) -> str:
    """Create an empty database on the server at `url` and return its SQLAlchemy address."""
    with psycopg.connect(as_libpq(url), autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return as_sqlalchemy(with_database(url, name))


def drop_database(url: str, name: str) -> None:
    """Drop a database, ending the sessions that are still open in it."""
    with psycopg.connect(as_libpq(url), autocommit=True) as session:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _major(folder: Path) -> int:
    printed = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)", printed)
    return int(found[1]) if found else 0
