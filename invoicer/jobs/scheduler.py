"""The thread that looks for due work."""

import threading
import time
from datetime import datetime, timedelta

import structlog

from invoicer.context import Context
from invoicer.jobs.due_jobs import DueJobs
from invoicer.jobs.job_metrics import JobMetrics
from schemas.errors import TransientError

BACKOFF_SECONDS_MAX = 60.0
STALE_AFTER_SECONDS_MIN = 120.0
"""A scheduler without progress for this long is reported as not working."""


class Scheduler:
    """Runs the due jobs every `scheduler_seconds` until it is stopped.

    While a store is away it tries less and less often, at least once a minute. No error ends the thread.
    """

    def __init__(self, context: Context, metrics: JobMetrics) -> None:
        self._context = context
        self._metrics = metrics
        self._stopping = threading.Event()
        self._jobs = DueJobs(context, metrics, self._goes_on)
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._last_sign: float | None = None
        self._started: float | None = None

    def start(self) -> None:
        """Begin to look for due work."""
        self._started = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Finish the step in hand and end the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def since_progress(self) -> timedelta | None:
        """How long ago a look or a step of it succeeded; since the start when none did; None before the start."""
        since = self._last_sign or self._started
        return None if since is None else timedelta(seconds=time.monotonic() - since)

    def check(self) -> str | None:
        """For /health: whether what is due waits until accepted events are counted.

        Raises: TransientError when the last progress is too long ago.
        """
        since = self.since_progress
        if since is None or since.total_seconds() > STALE_AFTER_SECONDS_MIN:
            raise TransientError("scheduler", f"no due work was looked for since {since}")
        return "waits_for_usage" if self._jobs.waits_for_usage else None

    def tick(self) -> bool:
        """Look for due work once; whether that went well."""
        try:
            with self._context.time_lock:
                now: datetime = self._context.clock.now()
                self._jobs.run(now)
        except TransientError as error:
            structlog.get_logger().warning("scheduler_waits", service=error.service, reason=error.reason)
            return False
        except Exception:  # noqa: BLE001 - the edge of the thread: logged, and tried again
            structlog.get_logger().exception("scheduler_failed")
            return False
        self._last_sign = time.monotonic()
        self._metrics.last_success.set(time.time())
        return True

    def _goes_on(self) -> bool:
        """A long close is progress too; a stop ends it after the step in hand."""
        self._last_sign = time.monotonic()
        return not self._stopping.is_set()

    def _run(self) -> None:
        pause = self._context.settings.scheduler_seconds
        wait = pause
        while not self._stopping.wait(wait):
            wait = pause if self.tick() else min(2 * max(wait, pause), BACKOFF_SECONDS_MAX)
