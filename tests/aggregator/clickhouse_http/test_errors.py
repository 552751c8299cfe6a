"""Error texts and statuses."""

from __future__ import annotations

import pytest

from aggregator.clickhouse_http.errors import ClickHouseHttpError, raised_by_engine


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            "Streaming query failed: Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)",
            159,
            "Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)",
        ),
        (
            "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify. (READONLY) (version 26.9.2.1). "
            "(READONLY)",
            164,
            "Code: 164. DB::Exception: Cannot modify. (READONLY)",
        ),
        ("boom", 1002, "Code: 1002. DB::Exception: boom (UNKNOWN_EXCEPTION)"),
    ],
)
def test_raised_by_engine_keeps_the_code_and_drops_what_is_said_twice(said: str, code: int, text: str) -> None:
    """The driver's prefix and chDB's repetition go, ClickHouse's own words stay."""
    error = raised_by_engine(RuntimeError(said))

    assert (error.code, error.text) == (code, text)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (60, 404),
        (81, 404),
        (62, 400),
        (194, 401),
        (516, 403),
        (164, 403),
        (159, 408),
        (307, 413),
        (202, 503),
        (395, 500),
    ],
)
def test_status_follows_the_exception_code(code: int, status: int) -> None:
    """The HTTP status of an error is that of its code, 500 otherwise."""
    assert ClickHouseHttpError(code, "").status == status
