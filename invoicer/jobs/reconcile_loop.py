"""The thread that lets the reconciler look at what was stored."""

import threading
from collections.abc import Callable

import structlog

from schemas.errors import TransientError

BACKOFF_SECONDS_MAX = 300.0
STOP_SECONDS_MAX = 10.0
"""How long the end waits for a piece in hand. A repair may be left at any point: the next one goes on."""


class ReconcileLoop:
    """Looks every so many seconds until it is stopped; less and less often while a store is away.

    No error ends the thread: billing proves each period for itself, so that nothing waits for it.
    """

    def __init__(self, look: Callable[[], bool], *, seconds: float) -> None:
        """`look` does a bounded piece of work and says whether there is more of it."""
        self._look = look
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begin to look, first after a pause."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the piece in hand where that is short."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)

    def tick(self) -> bool:
        """Look until there is nothing more; whether that went well."""
        try:
            while self._look() and not self._stopping.is_set():
                pass
        except TransientError as error:
            structlog.get_logger().warning("reconciler_waits", service=error.service, reason=error.reason)
            return False
        except Exception:  # noqa: BLE001 - the edge of the thread: logged, and tried again
            structlog.get_logger().exception("reconciler_failed")
            return False
        return True

    def _run(self) -> None:
        wait = self._seconds
        while not self._stopping.wait(wait):
            wait = self._seconds if self.tick() else max(self._seconds, min(2 * wait, BACKOFF_SECONDS_MAX))
