"""Which PostgreSQL the tests run against, and how it is reached."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import psycopg

from tests.services.containers import docker_answers, run_container
from tests.services.errors import ServiceUnavailable
from tests.services.ports import LOOPBACK
from tests.services.postgres import (
    MAJOR_MIN,
    PROBE_SECONDS,
    START_SECONDS_MAX,
    PostgresPrograms,
    PostgresServer,
    answers,
    as_libpq,
    as_sqlalchemy,
    create_database,
    drop_database,
    find_postgres_programs,
)

URL_VARIABLE = "DATABASE_URL"
IMAGE = "postgres:17"
CONTAINER_ACCOUNT = "millrace"


class PostgresSource(StrEnum):
    """Where a server comes from, in the order in which the places are tried."""

    ENVIRONMENT = "the server named by DATABASE_URL"
    CONTAINER = "PostgreSQL in a container"
    PROGRAMS = "PostgreSQL from this machine's own programs"


@dataclass(frozen=True)
class PostgresMeans:
    """What this machine has to run a server with."""

    docker: bool
    programs: PostgresPrograms | None


@dataclass(frozen=True)
class Postgres:
    """A running server; `url` leads to a database in which others may be created."""

    source: PostgresSource
    url: str

    def create_database(self, name: str) -> str:
        """Create an empty database and return its SQLAlchemy address."""
        return create_database(self.url, name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the sessions that are still open in it."""
        drop_database(self.url, name)


def choose_postgres(environ: Mapping[str, str], means: PostgresMeans) -> PostgresSource:
    """Choose the first source that can work.

    Raises:  ServiceUnavailable naming what is missing.
    """
    if environ.get(URL_VARIABLE):
        return PostgresSource.ENVIRONMENT
    if means.docker:
        return PostgresSource.CONTAINER
    if means.programs is not None:
        return PostgresSource.PROGRAMS
    raise ServiceUnavailable(
        "no PostgreSQL to test against: no Docker daemon answers, and "
        f"`initdb` and `postgres` of version {MAJOR_MIN} or later are not installed. "
        f"Install PostgreSQL, or set {URL_VARIABLE}."
    )


@contextmanager
def open_postgres(environ: Mapping[str, str]) -> Iterator[Postgres]:
    """Find or start a server, and stop what was started when the block ends."""
    means = PostgresMeans(docker=docker_answers(), programs=find_postgres_programs())
    source = choose_postgres(environ, means)
    match source:
        case PostgresSource.ENVIRONMENT:
            yield Postgres(source, require_version(as_sqlalchemy(environ[URL_VARIABLE])))
        case PostgresSource.CONTAINER:
            with run_postgres_container() as url:
                yield Postgres(source, url)
        case PostgresSource.PROGRAMS:
            with postgres_server() as server:
                yield Postgres(source, server.url)
        case _:
            assert_never(source)


def postgres_server() -> PostgresServer:
    """Return a server of this machine's own, not started: for tests that kill or restart it.

    Raises:  ServiceUnavailable where PostgreSQL is not installed.
    """
    programs = find_postgres_programs()
    if programs is None:
        raise ServiceUnavailable(f"`initdb` and `postgres` of version {MAJOR_MIN} or later are not installed")
    return PostgresServer(programs)


def require_version(url: str) -> str:
    """Return `url` when its server is of version 15 or later.

    Raises:  ServiceUnavailable naming the version found.
    """
    with psycopg.connect(as_libpq(url)) as session:
        major = session.info.server_version // 10_000
    if major < MAJOR_MIN:
        raise ServiceUnavailable(f"{URL_VARIABLE} names PostgreSQL {major}; the tests need {MAJOR_MIN} or later")
    return url


@contextmanager
def run_postgres_container() -> Iterator[str]:
    """Run the official image until the block ends; yield its SQLAlchemy address.

    Raises:  ServiceUnavailable when it does not answer within 60 s.
    """
    environ = {
        "POSTGRES_USER": CONTAINER_ACCOUNT,
        "POSTGRES_PASSWORD": CONTAINER_ACCOUNT,
        "POSTGRES_DB": "postgres",
    }
    with run_container(IMAGE, container_port=5432, environ=environ) as port:
        url = f"postgresql+psycopg://{CONTAINER_ACCOUNT}:{CONTAINER_ACCOUNT}@{LOOPBACK}:{port}/postgres"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not answers(url):
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"{IMAGE} did not answer within {START_SECONDS_MAX} s")
            time.sleep(PROBE_SECONDS)
        yield url
