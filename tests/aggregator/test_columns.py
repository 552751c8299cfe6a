"""Events as Arrow columns, and the name of an insert."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggregator.columns import EvaluatedEvent, decimal_array, event_columns
from aggregator.event_store import events_token
from schemas.events import Position, PositionedEvent, make_event
from schemas.metrics import UNEVALUATED, Evaluation

NOON_US = 1_786_622_400_000_000


PLACE = Position(3, 41, 7)


def a_row(transaction_id: str, position: Position = PLACE, evaluation: Evaluation = UNEVALUATED) -> EvaluatedEvent:
    event = make_event(
        organization_id="org",
        external_subscription_id="sub",
        transaction_id=transaction_id,
        code="calls",
        timestamp_us=NOON_US,
        properties_json=b'{"n":1}',
        precise_total_amount_cents=None,
        ingested_at_us=NOON_US + 5,
    )
    return EvaluatedEvent(PositionedEvent(position, event), evaluation)


stored_decimals = st.decimals(-(10**18) + 1, 10**18 - 1, places=18)


@settings(deadline=None)  # pyarrow takes a second over its first decimal
@given(st.lists(st.one_of(st.none(), stored_decimals, st.integers(-9, 9).map(Decimal))))
@example([])
@example([None, None])
@example([Decimal("1E+3"), Decimal("1000"), Decimal("-0"), None])
def test_decimal_array_holds_what_pyarrow_makes_of_the_decimals(values: list[Decimal | None]) -> None:
    """Digit for digit, nulls where they were."""
    quick = decimal_array(values, 18)
    quick.validate(full=True)
    assert quick.equals(pa.array(values, pa.decimal128(38, 18)))


def test_event_columns_keep_rows_in_order_and_dimensions_apart() -> None:
    """An event without dimensions between two that have some."""
    rows = [
        a_row("a", Position(0, 1, 2), Evaluation("e", Decimal("0.5"), "", {"region": "eu", "tier": "3"})),
        a_row("b", Position(0, 1, 3)),
        a_row("c", Position(1, 0, 0), Evaluation("e", Decimal(2), "ada", {"region": ""})),
    ]
    columns = event_columns(rows)
    assert columns["transaction_id"].to_pylist() == ["a", "b", "c"]
    assert columns["value"].to_pylist() == [Decimal("0.5"), None, Decimal(2)]
    assert columns["dimensions"].to_pylist() == [[("region", "eu"), ("tier", "3")], [], [("region", "")]]
    places = zip(*(columns[f"kafka_{part}"].to_pylist() for part in ("partition", "offset", "line")), strict=True)
    assert list(places) == [(0, 1, 2), (0, 1, 3), (1, 0, 0)]


@pytest.mark.parametrize(
    "rows",
    [
        [a_row("a"), a_row("c")],
        [a_row("b"), a_row("a")],
        [a_row("a")],
        [a_row("a", Position(4, 41, 7)), a_row("b")],
        [a_row("a", Position(3, 42, 7)), a_row("b")],
        [a_row("a"), a_row("b", Position(3, 41, 8))],
    ],
)
def test_events_token_of_other_rows_differs(rows: list[EvaluatedEvent]) -> None:
    """Another id, another order, fewer rows or another place: another insert."""
    assert events_token(event_columns(rows)) != events_token(event_columns([a_row("a"), a_row("b")]))


def test_events_token_of_the_same_rows_is_the_same() -> None:
    """However the columns are cut: a repeat of an insert whose outcome is unknown is a no-op."""
    rows = [a_row(f"t{n}", Position(0, n, 0)) for n in range(5)]
    cut = pa.concat_tables([event_columns(rows)[:2], event_columns(rows)[2:]])
    assert events_token(event_columns(rows)) == events_token(event_columns(rows)) == events_token(cut)
