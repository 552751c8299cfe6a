"""The JSON that accepted events are answered with.

Every event carries `duplicate` (its id was accepted before) and `conflict` (before, and with other content: the
first one stands); both are always there. A dead letter is answered as accepted, since it is kept. An event shows
what this request said, also when it is a repeat.

Source: Lago API, events (lago_customer_id and lago_subscription_id are null).
"""

from collections.abc import Iterator, Sequence

import msgspec

from ingest.properties import Issues
from ingest.validation import ValidEvent
from schemas.events import Outcome
from schemas.money import decimal_text
from schemas.time_text import iso_milliseconds_at, iso_seconds_at


class EventAnswer(msgspec.Struct, kw_only=True, gc=False):
    """One event of an answer."""

    lago_id: str
    transaction_id: str
    lago_customer_id: None = None
    code: str
    timestamp: str | None
    precise_total_amount_cents: str | None
    properties: msgspec.Raw
    lago_subscription_id: None = None
    external_subscription_id: str | None
    created_at: str | None
    duplicate: bool
    conflict: bool


class StoredAnswer(EventAnswer, kw_only=True, gc=False):
    """One stored event of a partial batch."""

    index: int
    status: str


class RejectedAnswer(msgspec.Struct, kw_only=True):
    """One refused event of a partial batch."""

    index: int
    status: str = "rejected"
    error_details: Issues


class _Single(msgspec.Struct):
    event: EventAnswer


class _Batch(msgspec.Struct):
    events: Sequence[EventAnswer | StoredAnswer | RejectedAnswer]


_encoder = msgspec.json.Encoder()


def encode_single(valid: ValidEvent, outcome: Outcome) -> bytes:
    """`{"event": {…}}`."""
    return _encoder.encode(_Single(next(_event_answers([valid], [outcome]))))


def encode_batch(events: Sequence[ValidEvent], outcomes: Sequence[Outcome]) -> bytes:
    """`{"events": [{…}, …]}` in the order they were sent."""
    return _encoder.encode(_Batch(list(_event_answers(events, outcomes))))


def encode_partial_batch(checked: Sequence[ValidEvent | Issues], outcomes: Sequence[Outcome]) -> bytes:
    """`{"events": [{"index": 0, "status": …, …}, …]}`: what became of every event that was sent.

    `status` is `accepted` or `duplicate` beside the event's fields (a conflict is a duplicate with `conflict`
    true), or `rejected` beside `error_details`. `outcomes` are those of the valid events, in order.
    """
    valid = [event for event in checked if isinstance(event, ValidEvent)]
    stored = _event_answers(valid, outcomes)
    entries = [
        _stored_answer(index, next(stored)) if isinstance(entry, ValidEvent) else _rejected_answer(index, entry)
        for index, entry in enumerate(checked)
    ]
    return _encoder.encode(_Batch(entries))


def _event_answers(events: Sequence[ValidEvent], outcomes: Sequence[Outcome]) -> Iterator[EventAnswer]:
    if not events:
        return
    # One request has one reception time.
    created_at = iso_seconds_at(events[0].event.ingested_at_us)
    for valid, outcome in zip(events, outcomes, strict=True):
        event = valid.event
        amount = event.precise_total_amount_cents
        yield EventAnswer(
            lago_id=_uuid_text(event.event_id),
            transaction_id=event.transaction_id,
            code=event.code,
            timestamp=iso_milliseconds_at(event.timestamp_us),
            precise_total_amount_cents=None if amount is None else decimal_text(amount),
            properties=msgspec.Raw(valid.shown_properties),
            external_subscription_id=event.external_subscription_id or None,
            created_at=created_at,
            duplicate=outcome is Outcome.DUPLICATE or outcome is Outcome.CONFLICT,
            conflict=outcome is Outcome.CONFLICT,
        )


def _stored_answer(index: int, answer: EventAnswer) -> StoredAnswer:
    status = Outcome.DUPLICATE if answer.duplicate else Outcome.ACCEPTED
    fields = {name: getattr(answer, name) for name in EventAnswer.__struct_fields__}
    return StoredAnswer(index=index, status=status.value, **fields)


def _rejected_answer(index: int, issues: Issues) -> RejectedAnswer:
    return RejectedAnswer(index=index, error_details=issues)


def _uuid_text(event_id: bytes) -> str:
    """`str(event.uuid)`; building a UUID object for every answer would cost as much as hashing the event did."""
    digits = event_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
