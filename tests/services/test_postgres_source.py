"""The PostgreSQL that a run uses is chosen by what the environment and the machine offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.errors import ServiceUnavailable
from tests.services.postgres import PostgresPrograms
from tests.services.postgres_source import PostgresMeans, PostgresSource, choose_postgres

PROGRAMS = PostgresPrograms(major=15, folder=Path("/opt/postgresql/bin"))
NAMED = {"DATABASE_URL": "postgresql://u:p@h:5432/d"}


@pytest.mark.parametrize(
    ("environ", "means", "source"),
    [
        (NAMED, PostgresMeans(docker=True, programs=PROGRAMS), PostgresSource.ENVIRONMENT),
        (NAMED, PostgresMeans(docker=False, programs=None), PostgresSource.ENVIRONMENT),
        ({}, PostgresMeans(docker=True, programs=PROGRAMS), PostgresSource.CONTAINER),
        ({}, PostgresMeans(docker=False, programs=PROGRAMS), PostgresSource.PROGRAMS),
        ({"DATABASE_URL": ""}, PostgresMeans(docker=False, programs=PROGRAMS), PostgresSource.PROGRAMS),
    ],
)
def test_choose_postgres_takes_the_first_that_can_work(
    environ: dict[str, str], means: PostgresMeans, source: PostgresSource
) -> None:
    """A named server comes first, then a container, then the machine's programs."""
    assert choose_postgres(environ, means) is source


def test_choose_postgres_with_nothing_names_the_missing_programs() -> None:
    """The error tells what to install, or which variable to set."""
    with pytest.raises(ServiceUnavailable, match=r"`initdb`.*15 or later.*DATABASE_URL"):
        choose_postgres({}, PostgresMeans(docker=False, programs=None))
