"""The ClickHouse that a run uses is chosen by what the environment and the machine offer."""

from __future__ import annotations

import pytest

from tests.services.clickhouse_source import (
    ClickHouse,
    ClickHouseSource,
    choose_clickhouse,
    read_clickhouse_url,
)

NAMED = {"CLICKHOUSE_URL": "http://u:p@h:8123"}


@pytest.mark.parametrize(
    ("environ", "docker", "source"),
    [
        (NAMED, True, ClickHouseSource.ENVIRONMENT),
        (NAMED, False, ClickHouseSource.ENVIRONMENT),
        ({}, True, ClickHouseSource.CONTAINER),
        ({}, False, ClickHouseSource.EMBEDDED),
        ({"CLICKHOUSE_URL": ""}, False, ClickHouseSource.EMBEDDED),
    ],
)
def test_choose_clickhouse_takes_the_first_that_can_work(
    environ: dict[str, str], docker: bool, source: ClickHouseSource
) -> None:
    """A named server comes first, then a container, then chDB."""
    assert choose_clickhouse(environ, docker=docker) is source


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password"),
    [
        ("http://millrace:secret@store:9123/usage", "store", 9123, "millrace", "secret"),
        ("http://store", "store", 8123, "default", ""),
        ("http://millrace:a%2Fb@store", "store", 8123, "millrace", "a/b"),
    ],
)
def test_read_clickhouse_url_fills_in_what_is_left_out(
    url: str, host: str, port: int, user: str, password: str
) -> None:
    """Account and port fall back on ClickHouse's own defaults; escapes in a password are undone."""
    assert read_clickhouse_url(url) == ClickHouse(ClickHouseSource.ENVIRONMENT, host, port, user, password)


def test_clickhouse_url_password_with_a_slash_is_escaped() -> None:
    """The address read and the address given out are the same."""
    server = ClickHouse(ClickHouseSource.ENVIRONMENT, "store", 8123, "millrace", "a/b")
    assert server.url == "http://millrace:a%2Fb@store:8123"
