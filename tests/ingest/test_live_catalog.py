"""The catalog cache refreshes on a miss, but not for every miss."""

import asyncio
import threading
import time

import pytest

from ingest.live_catalog import MISS_INTERVAL_SECONDS, LiveCatalog
from schemas.catalog import CatalogCache, CatalogSnapshot
from schemas.errors import TransientError
from tests.ingest.builders import API_KEY, ORGANIZATION, CatalogRow, metric, snapshot

pytestmark = pytest.mark.anyio


def live(row: CatalogRow) -> LiveCatalog:
    return LiveCatalog(CatalogCache(row.load), refresh_seconds=0.01)


async def test_known_key_asks_the_database_once() -> None:
    """The first miss loads the catalog; hits do no input or output."""
    row = CatalogRow(snapshot())
    catalog = live(row)
    for _ in range(100):
        assert await catalog.organization_of(API_KEY) == ORGANIZATION
    assert row.loads == 1


async def test_concurrent_misses_share_a_refresh() -> None:
    """A hundred wrong keys at once cost at most two looks: the one under way and the next."""
    row = CatalogRow(snapshot())
    catalog = live(row)
    answers = await asyncio.gather(*(catalog.organization_of(f"wrong-{i}") for i in range(100)))
    assert set(answers) == {None}
    assert row.loads <= 2


async def test_misses_in_a_row_are_spaced() -> None:
    """Wrong keys one after the other look at the database ten times a second at most."""
    row = CatalogRow(snapshot())
    catalog = live(row)
    began_at = time.monotonic()
    for number in range(4):
        assert await catalog.organization_of(f"wrong-{number}") is None
    assert time.monotonic() - began_at >= 3 * MISS_INTERVAL_SECONDS
    assert row.loads == 4


async def test_key_made_within_the_interval_is_found() -> None:
    """A miss waits for a refresh that began after it, so the spacing never answers from the past."""
    row = CatalogRow(snapshot(version=1))
    catalog = live(row)
    assert await catalog.organization_of("new-key") is None
    row.snapshot = snapshot(version=2, api_key="new-key")
    assert await catalog.organization_of("new-key") == ORGANIZATION


async def test_unreachable_catalog_is_told_from_an_unknown_key() -> None:
    """A miss that could not look is an error, not an answer; the next one looks again."""
    row = CatalogRow(None)
    catalog = live(row)
    with pytest.raises(TransientError):
        await catalog.organization_of(API_KEY)
    row.snapshot = snapshot()
    assert await catalog.organization_of(API_KEY) == ORGANIZATION


async def test_unknown_code_is_looked_up_again_after_a_new_version() -> None:
    """A newer catalog may know what the older one did not."""
    row = CatalogRow(snapshot(1, []))
    catalog = live(row)
    await catalog.look_up(ORGANIZATION, ["late"])
    await catalog.look_up(ORGANIZATION, ["late"])
    assert row.loads == 1
    row.snapshot = snapshot(2, [])
    await catalog.refresh()
    await catalog.look_up(ORGANIZATION, ["late"])
    assert row.loads == 3


async def test_watching_survives_a_database_that_goes_away() -> None:
    """The background look goes on and sees what came after."""
    row = CatalogRow(None)
    catalog = live(row)
    catalog.start()
    await asyncio.sleep(0.05)
    row.snapshot = snapshot(3, [metric("late")])
    await asyncio.sleep(0.3)
    await catalog.stop()
    assert list(catalog.evaluators(ORGANIZATION, ["late", "never"])) == ["late"]


async def test_silent_database_is_told_in_time_and_holds_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to ask wait a bounded time, the next ones none; all is well when it answers."""
    monkeypatch.setattr("ingest.live_catalog.REFRESH_SECONDS_MAX", 0.2)
    answers, asked = threading.Event(), []

    def load(_version: int) -> CatalogSnapshot | None:
        asked.append(threading.get_ident())
        answers.wait(10)
        return snapshot()

    catalog = LiveCatalog(CatalogCache(load), refresh_seconds=0.01)
    try:
        began_at = time.monotonic()
        for _ in range(3):
            waiting = (catalog.organization_of(f"wrong-{i}") for i in range(50))
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(result) for result in results} == {TransientError}
        assert time.monotonic() - began_at < 2
        assert len(asked) == 1
    finally:
        answers.set()
    await asyncio.sleep(0.3)
    assert await catalog.organization_of(API_KEY) == ORGANIZATION
