"""Events as columns: the Arrow tables that ClickHouse is given."""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from itertools import accumulate

import msgspec
import pyarrow as pa

from aggregator.dead_letters import DeadLetter
from schemas.events import MAX_AMOUNT_DECIMALS, MAX_VALUE_DECIMALS, PositionedEvent
from schemas.metrics import Evaluation

_INSTANT = pa.timestamp("us", "UTC")
_DECIMAL_BYTES = 16
_EXACT = Context(prec=76)
"""Wide enough that shifting the point of any stored decimal loses nothing."""


class EvaluatedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the stream and what it is worth."""

    positioned: PositionedEvent
    evaluation: Evaluation


def event_columns(rows: Sequence[EvaluatedEvent]) -> pa.Table:
    """The columns of `events`, except those that ClickHouse fills in."""
    events = [row.positioned.event for row in rows]
    positions = [row.positioned.position for row in rows]
    evaluations = [row.evaluation for row in rows]
    return pa.table(
        {
            "organization_id": _text([event.organization_id for event in events]),
            "external_subscription_id": _text([event.external_subscription_id for event in events]),
            "code": _text([event.code for event in events]),
            "timestamp": pa.array([event.timestamp_us for event in events], _INSTANT),
            "transaction_id": _text([event.transaction_id for event in events]),
            "event_id": pa.array([event.event_id for event in events], pa.binary(16)),
            "fingerprint": pa.array([event.fingerprint for event in events], pa.uint64()),
            "properties": pa.array([event.properties_json for event in events], pa.binary()),
            "precise_total_amount_cents": decimal_array(
                [event.precise_total_amount_cents for event in events], MAX_AMOUNT_DECIMALS
            ),
            "evaluation": _text([evaluation.evaluation for evaluation in evaluations]),
            "value": decimal_array([evaluation.value for evaluation in evaluations], MAX_VALUE_DECIMALS),
            "identity": _text([evaluation.identity for evaluation in evaluations]),
            "dimensions": _maps([evaluation.dimensions for evaluation in evaluations]),
            "ingested_at": pa.array([event.ingested_at_us for event in events], _INSTANT),
            "kafka_partition": pa.array([position.partition for position in positions], pa.int32()),
            "kafka_offset": pa.array([position.offset for position in positions], pa.int64()),
            "kafka_line": pa.array([position.line for position in positions], pa.int32()),
        }
    )


def dead_letter_columns(letters: Sequence[DeadLetter]) -> pa.Table:
    """The columns of `dead_letters`."""
    return pa.table(
        {
            "original": pa.array([letter.original for letter in letters], pa.binary()),
            "topic": _text([letter.topic for letter in letters]),
            "kafka_partition": pa.array([letter.position.partition for letter in letters], pa.int32()),
            "kafka_offset": pa.array([letter.position.offset for letter in letters], pa.int64()),
            "kafka_line": pa.array([letter.position.line for letter in letters], pa.int32()),
            "code": _text([letter.code for letter in letters]),
            "reason": _text([letter.reason for letter in letters]),
        }
    )


def decimal_array(values: Sequence[Decimal | None], decimals: int) -> pa.Array:
    """Exact decimals with `decimals` digits behind the point.

    Built from whole numbers of the smallest unit: four times as fast as handing pyarrow the decimals. A stream
    repeats its values (a count is always 1), so each different one is converted once.
    Bounds:  |value| < 10^(38 − decimals), no digit behind `decimals`: what the events were checked against.
    """
    kind = pa.decimal128(38, decimals)
    different = set(values)
    has_nulls = None in different
    if different <= {None}:
        return pa.nulls(len(values), kind)
    units: dict[Decimal | None, bytes] = {None: bytes(_DECIMAL_BYTES)}
    for value in different:
        if value is not None:
            whole = int(value.scaleb(decimals, _EXACT))
            units[value] = whole.to_bytes(_DECIMAL_BYTES, "little", signed=True)
    data = pa.py_buffer(b"".join(map(units.__getitem__, values)))
    present = pa.array([value is not None for value in values], pa.bool_()).buffers()[1] if has_nulls else None
    return pa.Array.from_buffers(kind, len(values), [present, data])


def _text(values: Sequence[str]) -> pa.Array:
    return pa.array(values, pa.string())


def _maps(values: Sequence[Mapping[str, str]]) -> pa.Array:
    keys = [key for value in values for key in value]
    texts = [text for value in values for text in value.values()]
    offsets = list(accumulate(map(len, values), initial=0))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), _text(keys), _text(texts))
