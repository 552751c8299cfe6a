"""From the bytes of a request to the events it holds, not validated yet. Pure.

Nearly every event has fields of the usual types and nothing else: those the decoder itself checks, in next to no
time. A request with any other event is decoded anew, to whatever it holds; `ingest.validation` treats both alike.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from schemas.errors import BadRequest, InputError
from schemas.events import MAX_IDENTIFIER_CHARS

_Text = Annotated[str, msgspec.Meta(max_length=MAX_IDENTIFIER_CHARS)]
_Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDENTIFIER_CHARS)]


class IdentifiedEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An event whose identifiers are texts of the right length; nothing else is known about it.

    Unknown fields are refused: the decoder would skip them without looking whether they are JSON.
    """

    transaction_id: _Identifier
    code: _Identifier
    external_subscription_id: _Text | None = None
    timestamp: object = None
    precise_total_amount_cents: object = None
    properties: object = None

    def has_unusual_identifier(self) -> bool:
        """Whether an identifier holds a NUL or nothing but spaces, which the decoder cannot tell."""
        transaction_id, code, subscription = self.transaction_id, self.code, self.external_subscription_id
        if "\0" in transaction_id or transaction_id.isspace() or "\0" in code or code.isspace():
            return True
        return subscription is not None and ("\0" in subscription or subscription.isspace())


class _Single(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    event: IdentifiedEvent


class _Batch(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    events: list[IdentifiedEvent]


_json = msgspec.json.Decoder(float_hook=Decimal)
_single = msgspec.json.Decoder(_Single, float_hook=Decimal)
_batch = msgspec.json.Decoder(_Batch, float_hook=Decimal)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError)
"""What a decoder raises: no JSON, another type, no UTF-8, nested past the stack, an exponent past Decimal."""


def read_single(body: bytes) -> object:
    """The event of a request: an `IdentifiedEvent`, or else the object that was sent.

    Raises: as `parse_json` and `single_root` do.
    """
    try:
        return _single.decode(body).event
    except _UNDECODABLE:
        return single_root(parse_json(body))


def read_batch(body: bytes, events_max: int) -> Sequence[object]:
    """The events of a request: all of them `IdentifiedEvent`s, or else whatever was sent.

    Raises: as `parse_json` and `batch_root` do.
    """
    try:
        document: object = {"events": _batch.decode(body).events}
    except _UNDECODABLE:
        document = parse_json(body)
    return batch_root(document, events_max)


def parse_json(body: bytes) -> object:
    """The JSON value of `body`, numbers exact.

    Raises: BadRequest when it is not JSON in UTF-8, nested past the interpreter's stack, or holds a number whose
    exponent nothing can represent. Lone surrogates are no JSON text and end here too.
    """
    try:
        return _json.decode(body)
    except _UNDECODABLE as error:
        raise BadRequest("the request body is not valid JSON") from error


def single_root(document: object) -> Mapping[str, object]:
    """The value under `event`.

    Raises: BadRequest when it is missing, empty or no object.
    """
    event = document.get("event") if isinstance(document, dict) else None
    if not isinstance(event, dict) or not event:
        raise BadRequest.missing_root("event")
    return event


def batch_root(document: object, events_max: int) -> list[object]:
    """The list under `events`, holding 1 to `events_max` entries.

    Raises: BadRequest when the body is no object; InputError for an empty, overlong or otherwise wrong list.
    Source: Lago API, batch of events.
    """
    if not isinstance(document, dict):
        raise BadRequest.missing_root("events")
    events = document.get("events")
    if events is None or events == []:
        raise InputError({"events": ["no_events"]})
    if not isinstance(events, list):
        raise InputError({"events": ["value_is_invalid"]})
    if len(events) > events_max:
        raise InputError({"events": ["too_many_events"]})
    return events


def sent_codes(events: Sequence[object]) -> set[str]:
    """The metric codes that a request names."""
    codes = {_sent_code(event) for event in events}
    return {code for code in codes if code is not None}


def _sent_code(event: object) -> str | None:
    if type(event) is IdentifiedEvent:
        return event.code
    code = event.get("code") if isinstance(event, dict) else None
    return code if isinstance(code, str) else None
