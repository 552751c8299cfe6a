"""Finding the metric of a code, at the moment an event is counted."""

from collections.abc import Callable, Iterable
from time import monotonic

import structlog

from schemas.catalog import CatalogCache
from schemas.errors import TransientError
from schemas.events import Event, decode_properties
from schemas.metrics import UNEVALUATED, Evaluation, MetricEvaluator

MISS_SECONDS_MIN = 0.1
"""Unknown codes ask the catalog at most this often, however many of them arrive."""

MetricKey = tuple[str, str]
Evaluators = dict[MetricKey, MetricEvaluator | None]

_log = structlog.get_logger(__name__)


class MetricLookup:
    """Evaluators of the codes of a batch, from a catalog that is kept fresh.

    A catalog that is away stops nothing: the snapshot in memory stays in use, and an event whose code it does not
    know is stored unevaluated, to be evaluated when it is read.
    """

    def __init__(
        self, catalog: CatalogCache, refresh_seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._catalog = catalog
        self._refresh_seconds = refresh_seconds
        self._clock = clock
        self._refreshed_at = float("-inf")

    def evaluators(self, keys: Iterable[MetricKey]) -> Evaluators:
        """The evaluator of each (organization, code), None where there is no such metric yet."""
        self._refresh(self._refresh_seconds)
        found = self._find(keys)
        if None in found.values() and self._refresh(MISS_SECONDS_MIN):
            found = self._find(found)
        return found

    def _find(self, keys: Iterable[MetricKey]) -> Evaluators:
        return {key: self._catalog.evaluator(*key) for key in keys}

    def _refresh(self, seconds_min: float) -> bool:
        if self._clock() - self._refreshed_at < seconds_min:
            return False
        try:
            return self._catalog.refresh()
        except TransientError as error:
            _log.warning("catalog is away, its last snapshot stays in use", reason=error.reason)
            return False
        finally:
            self._refreshed_at = self._clock()


def evaluate(event: Event, evaluator: MetricEvaluator | None) -> Evaluation:
    """What an event is worth, as far as its metric is known.

    Raises: PoisonEvent when it has a metric but can never be counted under it, or properties nobody can read.
    """
    if evaluator is None or not evaluator.reads_properties:
        # Whoever lists or traces the event reads them: a foreign producer may send no UTF-8, or an absurd number.
        decode_properties(event.properties_json)
    return UNEVALUATED if evaluator is None else evaluator.evaluate(event)
