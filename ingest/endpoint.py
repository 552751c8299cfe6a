"""`POST /api/v1/events` and `POST /api/v1/events/batch` as plain ASGI.

A request is authenticated, parsed, validated, held against the dedup window and published, and only then
answered. These two routes bypass the per-request machinery of a web framework, which costs several times what the
work itself does; everything that is not `is_events_route` belongs to somebody else.

`POST /api/v1/events/batch` stores all of its events or, when one is invalid, none: 422 with the issues by index.
With `?partial=true` the valid ones are stored and every event is told its `status`: see `ingest.answers`.
"""

import time
from collections.abc import Sequence
from urllib.parse import parse_qs

import structlog

from ingest.answers import encode_batch, encode_partial_batch, encode_single
from ingest.http import (
    Answer,
    ClientGone,
    Receive,
    Scope,
    Send,
    bearer_key,
    json_answer,
    read_body,
    refusal,
    send_answer,
)
from ingest.intake import EventIntake
from ingest.live_catalog import LiveCatalog
from ingest.metrics import IngestMetrics
from ingest.parsing import read_batch, read_single, sent_codes
from ingest.properties import Issues
from ingest.validation import ValidEvent, validate_event
from schemas.clock import Clock
from schemas.errors import InputError, TransientError, Unauthorized
from schemas.settings import Settings
from schemas.time_text import to_microseconds

SINGLE_PATH = "/api/v1/events"
BATCH_PATH = "/api/v1/events/batch"

_log = structlog.get_logger(__name__)


def is_events_route(scope: Scope) -> bool:
    """Whether a request is one of the two this endpoint answers; a trailing slash makes no difference."""
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and scope["path"].removesuffix("/") in (SINGLE_PATH, BATCH_PATH)
    )


class EventsEndpoint:
    """The ASGI application of the two routes; stateless but for what it is given."""

    def __init__(
        self,
        *,
        catalog: LiveCatalog,
        intake: EventIntake,
        clock: Clock,
        settings: Settings,
        metrics: IngestMetrics,
    ) -> None:
        self._catalog = catalog
        self._intake = intake
        self._clock = clock
        self._body_bytes_max = settings.body_bytes_max
        self._batch_events_max = settings.batch_events_max
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_at = time.perf_counter()
        route = scope["path"].removesuffix("/")
        try:
            answer = await self._answer(scope, receive, is_batch=route == BATCH_PATH)
        except ClientGone:
            return
        except (InputError, TransientError) as error:
            answer = refusal(error)
        except Exception:  # noqa: BLE001  the process edge: whoever asked gets an answer, we get the traceback
            _log.exception("request_failed", route=route)
            answer = json_answer(500, {"status": 500, "error": "Internal Server Error"})
        await send_answer(send, answer)
        self._metrics.observe_request(route, answer.status, time.perf_counter() - began_at)

    async def _answer(self, scope: Scope, receive: Receive, *, is_batch: bool) -> Answer:
        organization_id = await self._authenticate(scope)
        body = await read_body(scope, receive, self._body_bytes_max)
        if is_batch:
            return await self._batch(body, organization_id, partial=_wants_partial(scope))
        return await self._single(body, organization_id)

    async def _authenticate(self, scope: Scope) -> str:
        api_key = bearer_key(scope)
        organization_id = None if api_key is None else await self._catalog.organization_of(api_key)
        if organization_id is None:
            raise Unauthorized
        return organization_id

    async def _single(self, body: bytes, organization_id: str) -> Answer:
        [checked] = await self._check([read_single(body)], organization_id)
        if not isinstance(checked, ValidEvent):
            raise InputError(checked)
        [outcome] = await self._intake.take([checked.event])
        self._metrics.count_outcomes([outcome])
        return Answer(200, encode_single(checked, outcome))

    async def _batch(self, body: bytes, organization_id: str, *, partial: bool) -> Answer:
        sent = read_batch(body, self._batch_events_max)
        checked = await self._check(sent, organization_id)
        valid = [entry for entry in checked if isinstance(entry, ValidEvent)]
        if len(valid) < len(checked) and not partial:
            issues = {str(i): entry for i, entry in enumerate(checked) if not isinstance(entry, ValidEvent)}
            raise InputError(issues)
        outcomes = await self._intake.take([entry.event for entry in valid])
        self._metrics.count_outcomes(outcomes)
        return Answer(200, encode_partial_batch(checked, outcomes) if partial else encode_batch(valid, outcomes))

    async def _check(self, sent: Sequence[object], organization_id: str) -> list[ValidEvent | Issues]:
        """Each event that was sent, or its issues; the reception time of all of them is now."""
        codes = sent_codes(sent)
        await self._catalog.look_up(organization_id, codes)
        evaluators = self._catalog.evaluators(organization_id, codes)
        now_us = to_microseconds(self._clock.now())
        checked = [validate_event(event, organization_id, now_us, evaluators) for event in sent]
        if rejected := sum(not isinstance(entry, ValidEvent) for entry in checked):
            self._metrics.count_rejected(rejected)
        return checked


def _wants_partial(scope: Scope) -> bool:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return query.get("partial", [""])[-1] in ("true", "1")
