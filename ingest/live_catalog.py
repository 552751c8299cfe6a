"""The catalog cache, kept fresh: looked at every second, and at once when somebody misses something."""

import asyncio
import time
from collections.abc import Iterable

import structlog

from schemas.catalog import CatalogCache
from schemas.errors import TransientError
from schemas.metrics import MetricEvaluator

MISS_INTERVAL_SECONDS = 0.1
"""Misses share a refresh, and the next one starts no sooner than this: wrong keys must not load the database."""
REFRESH_SECONDS_MAX = 3.0
"""How long a request waits for the catalog: a database may also fall silent."""
UNKNOWN_CODES_MAX = 10_000
"""Codes remembered as unknown; past it they are forgotten and looked up again."""

_log = structlog.get_logger(__name__)


class LiveCatalog:
    """Answers from the cache; on a miss waits for a refresh that began after the question."""

    def __init__(self, cache: CatalogCache, *, refresh_seconds: float) -> None:
        self._cache = cache
        self._refresh_seconds = refresh_seconds
        self._next: asyncio.Task[None] | None = None
        self._refreshes: set[asyncio.Task[None]] = set()  # the loop itself keeps tasks by weak reference only
        self._began_at = float("-inf")
        self._turn = asyncio.Lock()  # a silent database may hold one thread, not all of them
        self._unknown_codes: set[tuple[str, str]] = set()
        self._unknown_at_version = cache.version
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for newer snapshots; the first one is fetched right away."""
        self._watch = asyncio.create_task(self._keep_fresh())

    async def stop(self) -> None:
        """End the watching and the refreshes that have not begun."""
        tasks = [*self._refreshes] if self._watch is None else [self._watch, *self._refreshes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def organization_of(self, api_key: str) -> str | None:
        """The organization that owns `api_key`, or None when the catalog does not know it now.

        Raises: TransientError when the key is unknown here and the catalog cannot be asked.
        """
        organization_id = self._cache.organization_of(api_key)
        if organization_id is None:
            await self.refresh()
            organization_id = self._cache.organization_of(api_key)
        return organization_id

    def evaluators(self, organization_id: str, codes: Iterable[str]) -> dict[str, MetricEvaluator]:
        """How events with these codes are measured, as far as the snapshot in memory knows."""
        found = {code: self._cache.evaluator(organization_id, code) for code in codes}
        return {code: evaluator for code, evaluator in found.items() if evaluator is not None}

    async def look_up(self, organization_id: str, codes: Iterable[str]) -> None:
        """Refresh once for codes never met before, so an event sent right after its metric was made is checked.

        A catalog that cannot be asked does not stop events: unknown codes are accepted anyway.
        """
        self._forget_stale_codes()
        missing = [
            (organization_id, code)
            for code in codes
            if (organization_id, code) not in self._unknown_codes
            and self._cache.evaluator(organization_id, code) is None
        ]
        if not missing:
            return
        try:
            await self.refresh()
        except TransientError as error:
            _log.warning("catalog_unreachable", reason=error.reason, unknown_codes=len(missing))
            return
        self._forget_stale_codes()
        self._unknown_codes.update(missing)

    def _forget_stale_codes(self) -> None:
        """What an older snapshot did not know, this one may."""
        if self._unknown_at_version != self._cache.version or len(self._unknown_codes) > UNKNOWN_CODES_MAX:
            self._unknown_codes.clear()
            self._unknown_at_version = self._cache.version

    async def refresh(self) -> None:
        """Wait for a refresh that begins from now on; callers at the same time share one.

        Raises: TransientError when the catalog cannot be reached; at once while an earlier refresh still waits.
        """
        if self._turn.locked() and time.monotonic() - self._began_at > REFRESH_SECONDS_MAX:
            raise TransientError("database", "no answer")
        if self._next is None:
            self._next = asyncio.create_task(self._run_next())
            self._refreshes.add(self._next)
            self._next.add_done_callback(self._forget_refresh)
        try:
            async with asyncio.timeout(REFRESH_SECONDS_MAX):
                await asyncio.shield(self._next)
        except TimeoutError as error:
            raise TransientError("database", "no answer in time") from error

    def _forget_refresh(self, done: asyncio.Task[None]) -> None:
        self._refreshes.discard(done)
        if not done.cancelled():
            done.exception()  # whoever waited may have left: do not report it as never retrieved

    async def _run_next(self) -> None:
        async with self._turn:
            pause = self._began_at + MISS_INTERVAL_SECONDS - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self._next = None  # who asks from here on may ask about something newer than this refresh sees
            self._began_at = time.monotonic()
            await asyncio.to_thread(self._cache.refresh)

    async def _keep_fresh(self) -> None:
        while True:
            try:
                await self.refresh()
            except TransientError as error:
                _log.warning("catalog_unreachable", reason=error.reason)
            except Exception:  # noqa: BLE001  a process edge: a bad document must not end the watching
                _log.exception("catalog_refresh_failed")
            await asyncio.sleep(self._refresh_seconds)
