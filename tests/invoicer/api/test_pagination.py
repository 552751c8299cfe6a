"""Pages of collections."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from invoicer.api.pagination import Pagination, PaginationMeta, read_pagination
from schemas.clock import MovableClock
from tests.invoicer.api.bodies import make_tax, post


@pytest.mark.parametrize(
    ("page", "per_page", "total", "expected"),
    [
        (1, 100, 0, (0, None, None, 0, 0)),
        (3, 100, 0, (0, None, None, 0, 0)),
        (1, 100, 1, (1, None, None, 1, 1)),
        (1, 100, 100, (1, None, None, 1, 100)),
        (1, 100, 101, (1, 2, None, 2, 101)),
        (2, 100, 250, (2, 3, 1, 3, 250)),
        (3, 100, 250, (3, None, 2, 3, 250)),
        (9, 100, 250, (9, None, None, 3, 250)),
    ],
)
def test_meta_says_where_the_page_lies(
    page: int, per_page: int, total: int, expected: tuple[int, int | None, int | None, int, int]
) -> None:
    """An empty collection has page 0 of 0; beyond the last page the totals stay, and nothing lies beside it."""
    meta = PaginationMeta.of(Pagination(page, per_page), total)

    assert tuple(meta.model_dump().values()) == expected


@pytest.mark.parametrize(
    ("page", "per_page", "expected"),
    [
        (None, None, (1, 100)),
        ("2", "50", (2, 50)),
        ("0", "0", (1, 100)),
        ("-1", "1001", (1, 100)),
        ("two", "1e2", (1, 100)),
        ("9" * 5000, "1000", (1, 1000)),
        ("²", "", (1, 100)),
    ],
)
def test_pagination_falls_back_where_the_query_makes_no_sense(
    page: str | None, per_page: str | None, expected: tuple[int, int]
) -> None:
    """Bad values never fail a list."""
    pagination = asyncio.run(read_pagination(page, per_page))

    assert (pagination.page, pagination.per_page) == expected


def test_list_is_newest_first_and_cut_into_pages(client: httpx.Client, clock: MovableClock) -> None:
    """Three taxes, two a page."""
    for code in ("a", "b", "c"):
        post(client, "taxes", make_tax(code=code))
        clock.move_to(clock.now() + timedelta(seconds=1))

    first = client.get("/api/v1/taxes", params={"per_page": 2}).json()
    second = client.get("/api/v1/taxes", params={"per_page": 2, "page": 2}).json()
    beyond = client.get("/api/v1/taxes", params={"per_page": 2, "page": 3}).json()

    assert [tax["code"] for tax in first["taxes"] + second["taxes"]] == ["c", "b", "a"]
    assert [len(each["taxes"]) for each in (first, second, beyond)] == [2, 1, 0]
    assert first["meta"] == {
        "current_page": 1,
        "next_page": 2,
        "prev_page": None,
        "total_pages": 2,
        "total_count": 3,
    }
