"""The expression language of billable metrics."""

import string
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import MAX_VALUE_DECIMALS
from schemas.expression import (
    NESTING_MAX,
    RESULT_DECIMALS,
    TOKENS_MAX,
    ExpressionError,
    InvalidExpression,
    Value,
    parse_expression,
)

EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
EIGHTEEN_DECIMALS = Decimal("1e-18")
NUMBERS = st.decimals(min_value=0, max_value=10**12, places=6).map(lambda number: format(number, "f"))


def evaluate(text: str, properties: Mapping[str, object] | None = None) -> Value:
    """The value of an expression for an event `api_call` at 1234.5 s."""
    expression = parse_expression(text)
    return expression.evaluate(code="api_call", timestamp=Decimal("1234.5"), properties=properties or {})


@pytest.mark.parametrize(
    ("text", "properties", "value"),
    [
        ("round(12.5)", {}, Decimal(13)),
        ("ceil(12.3)", {}, Decimal(13)),
        ("floor(12.3)", {}, Decimal(12)),
        ("concat('test', '-', '123')", {}, "test-123"),
        ("event.properties.bar", {"bar": "123"}, Decimal(123)),
    ],
)
def test_expression_vector_gives_the_observed_value(
    text: str, properties: Mapping[str, object], value: Value
) -> None:
    """The values Lago's own evaluator was seen to give."""
    assert evaluate(text, properties) == value


def test_expression_vector_of_the_timestamp_gives_seconds() -> None:
    """`event.timestamp` is the event's time in seconds."""
    expression = parse_expression("event.timestamp")
    assert expression.evaluate(code="", timestamp=Decimal(1234), properties={}) == Decimal(1234)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 2", "5"),
        ("100 / 10 * 2", "20"),
        ("2 * 3 + 4 * 5", "26"),
        ("-2 + 5", "3"),
        ("2 - -3", "5"),
        ("2 * -3", "-6"),
        ("--3", "3"),
        ("-(1 + 2) * 3", "-9"),
        ("-round(2.5)", "-3"),
        (" 1\t+\r\n2 ", "3"),
        ("0.1 + 0.2", "0.3"),
        ("007 + 1", "8"),
    ],
)
def test_expression_arithmetic_follows_standard_precedence(text: str, value: str) -> None:
    """Products before sums, left to right, a minus sign before both."""
    assert evaluate(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(2.345, 2)", "2.35"),
        ("round(1250, -2)", "1300"),
        ("round(1.5, 30)", "1.5"),
        ("round(4, -30)", "0"),
        ("ROUND(2.5)", "3"),
        ("Round(2.5)", "3"),
        ("round(2.345, 1 + 1)", "2.35"),
        ("ceil(2.341, 2)", "2.35"),
        ("ceil(-2.5)", "-2"),
        ("ceil(1201, -2)", "1300"),
        ("floor(2.349, 2)", "2.34"),
        ("floor(-2.5)", "-3"),
        ("least(3, 1, 2)", "1"),
        ("greatest(3, 10, 2)", "10"),
        ("least(7)", "7"),
    ],
)
def test_expression_function_gives_its_number(text: str, value: str) -> None:
    """Rounding goes half away from zero, up or down; least and greatest choose."""
    assert evaluate(text) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "properties", "value"),
    [
        ("'a (b), c'", {}, "a (b), c"),
        ("''", {}, ""),
        ("event.code", {}, "api_call"),
        ("concat(event.code, ':', event.timestamp)", {}, "api_call:1234.5"),
        ("concat(1.50, '|', 2 / 8, '|', round(1250, -2))", {}, "1.50|0.25|1300"),
        ("concat(event.properties.version)", {"version": "1.10"}, "1.10"),
        ("concat(event.properties.hash)", {"hash": "12e3"}, "12e3"),
        ("concat(event.properties.ok)", {"ok": True}, "true"),
        ("event.properties.plan_2", {"plan_2": "pro"}, "pro"),
        ("concat(1 / 3)", {}, "0.333333333333333333"),
        ("concat('x', '1')", {}, "x1"),
        ("CONCAT('x')", {}, "x"),
    ],
)
def test_expression_text_is_joined_as_written(text: str, properties: Mapping[str, object], value: str) -> None:
    """Text stays text, and numbers in it print plainly, keeping the zeros they came with."""
    assert evaluate(text, properties) == value


@pytest.mark.parametrize(
    ("value", "doubled"),
    [
        ("12", "24"),
        ("-12.5", "-25.0"),
        ("007", "14"),
        (12, "24"),
        (Decimal("0.1"), "0.2"),
        (Decimal("1E+3"), "2000"),
        ("9" * 59, "1" + "9" * 58 + "8"),
    ],
)
def test_expression_property_that_reads_as_a_number_is_one(value: object, doubled: str) -> None:
    """JSON numbers and numeric text calculate alike."""
    assert evaluate("event.properties.x * 2", {"x": value}) == Decimal(doubled)


@pytest.mark.parametrize("value", ["", "abc", "1e5", " 5", "+5", ".5", "5.", "1,5", "٣", "9" * 61])
def test_expression_property_that_does_not_read_as_a_number_is_text(value: str) -> None:
    """Anything but `-?digits[.digits]` of at most 60 digits is text: joined, never calculated with."""
    assert evaluate("concat(event.properties.x)", {"x": value}) == value
    with pytest.raises(ExpressionError, match="is not a number"):
        evaluate("event.properties.x + 1", {"x": value})


@pytest.mark.parametrize(
    ("text", "properties", "message"),
    [
        ("event.properties.x", {}, "no property x"),
        ("event.properties.x", {"x": None}, "no property x"),
        ("event.properties.x", {"x": [1]}, "neither text nor a number"),
        ("event.properties.x", {"x": 0.5}, "neither text nor a number"),
        ("event.properties.x", {"x": Decimal("NaN")}, "more than 60 digits"),
        ("event.properties.x", {"x": 10**60 + 1}, "more than 60 digits"),
        ("event.properties.x", {"x": Decimal("1E+100")}, "out of bounds"),
        ("1 / 0", {}, "division by zero"),
        ("0 / (1 - 1)", {}, "division by zero"),
        ("'a' + 1", {}, "is not a number"),
        ("-event.code", {}, "is not a number"),
        ("least(1, 'a')", {}, "is not a number"),
        ("round('a')", {}, "is not a number"),
        ("round(1, 0.5)", {}, "whole number of digits"),
        ("round(1, 31)", {}, "whole number of digits"),
        ("floor(1, -31)", {}, "whole number of digits"),
        ("event.properties.x * event.properties.x", {"x": "1" + "0" * 59}, "out of bounds"),
        ("concat(event.properties.x, event.properties.x)", {"x": "a" * 5001}, "10000 characters"),
    ],
)
def test_expression_without_a_value_says_why(text: str, properties: Mapping[str, object], message: str) -> None:
    """A missing property, text where a number belongs or a number out of bounds is an error, never a guess."""
    with pytest.raises(ExpressionError, match=message):
        evaluate(text, properties)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 3),
        ("1 +", 3),
        ("1 2", 2),
        ("* 2", 0),
        ("1 + + 2", 4),
        ("(1 + 2", 6),
        ("1 + 2)", 5),
        ("1 + 'abc", 4),
        ("1 ^ 2", 2),
        ("12.", 2),
        (".5", 0),
        ("foo(1)", 0),
        ("rOUND(1)", 0),
        ("round", 5),
        ("round()", 6),
        ("round(1,)", 8),
        ("round(1, 2, 3)", 0),
        ("round(1 2)", 8),
        ("concat()", 7),
        ("event", 0),
        ("event.id", 0),
        ("event.properties", 0),
        ("1 + event.properties.a.b", 4),
        ("event.properties._a", 16),
        ("event . code", 6),
        ("1 + 1" + "0" * 60, 4),
    ],
)
def test_text_that_is_no_expression_is_refused_where_it_is_wrong(text: str, position: int) -> None:
    """The error points at what cannot be there; a character outside the language comes first."""
    with pytest.raises(InvalidExpression) as refusal:
        parse_expression(text)
    assert refusal.value.position == position


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        ("1" + " " * 1999, "1" + " " * 2000),
        ("+".join(["1"] * (TOKENS_MAX // 2)), "+".join(["1"] * (TOKENS_MAX // 2 + 1))),
        ("(" * NESTING_MAX + "1" + ")" * NESTING_MAX, "(" * (NESTING_MAX + 1) + "1" + ")" * (NESTING_MAX + 1)),
        ("-" * NESTING_MAX + "1", "-" * (NESTING_MAX + 1) + "1"),
        ("ceil(" * NESTING_MAX + "1" + ")" * NESTING_MAX, "ceil(" * (NESTING_MAX + 1) + "1"),
    ],
)
def test_expression_at_its_bound_is_accepted_and_past_it_refused(accepted: str, refused: str) -> None:
    """2,000 characters, 500 tokens and 50 levels of nesting are the last that pass."""
    assert evaluate(accepted) in {Decimal(1), Decimal(TOKENS_MAX // 2)}
    with pytest.raises(InvalidExpression):
        parse_expression(refused)


def test_result_has_the_decimals_an_event_value_may_have() -> None:
    """A quotient without end is rounded to what can be stored, so that it is counted and not refused."""
    assert RESULT_DECIMALS == MAX_VALUE_DECIMALS
    assert evaluate("2 / 3") == Decimal("0.666666666666666667")


def test_result_prints_without_exponent_or_signed_zero() -> None:
    """Results are written out, whatever arithmetic made of them."""
    assert str(evaluate("event.properties.x", {"x": Decimal("1E+3")})) == "1000"
    assert str(evaluate("round(-0.4)")) == "0"
    assert str(evaluate("-0")) == "0"


@given(st.text(max_size=80))
def test_any_text_is_an_expression_or_an_invalid_one(text: str) -> None:
    """Nothing but InvalidExpression comes out of the parser, with a position inside the text or at its end."""
    refused_at = 0
    try:
        parse_expression(text)
    except InvalidExpression as refusal:
        refused_at = refusal.position
    assert 0 <= refused_at <= len(text)


@given(
    st.lists(
        st.sampled_from(
            [
                *"()+-*/, ",
                *("1", "2.5", "'a'", "round", "concat", "least", string.digits),
                *("event.code", "event.timestamp", "event.properties.x", "event.properties.y"),
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_any_expression_has_a_value_or_an_expression_error(text: str) -> None:
    """Whatever parses evaluates to a plain decimal or a text, or says that it cannot."""
    try:
        value = evaluate(text, {"x": "12.5", "y": "text"})
    except (InvalidExpression, ExpressionError):
        return
    assert isinstance(value, str) or (value.is_finite() and "E" not in str(value).replace("E-", ""))


def _decimal_of(printed: object) -> Decimal:
    """Python's own decimal arithmetic over a tree of (operator, left, right) and number texts."""
    if isinstance(printed, str):
        return Decimal(printed)
    assert isinstance(printed, tuple)
    operator, left, right = printed[0], _decimal_of(printed[1]), _decimal_of(printed[2])
    operation = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply, "/": EXACT.divide}[operator]
    return operation(left, right)


def _printed(tree: object) -> str:
    return tree if isinstance(tree, str) else f"({_printed(tree[1])} {tree[0]} {_printed(tree[2])})"  # type: ignore[index]  # trees are text or triples


TREES = st.recursive(NUMBERS, lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner), max_leaves=6)


@given(TREES)
def test_printed_arithmetic_equals_decimal_arithmetic(tree: object) -> None:
    """What the language calculates is what exact decimals give, rounded once to 18 decimals."""
    try:
        expected = _decimal_of(tree)
    except ArithmeticError:
        with pytest.raises(ExpressionError):
            evaluate(_printed(tree))
        return
    value = evaluate(_printed(tree))
    assert value == expected.quantize(EIGHTEEN_DECIMALS, rounding=ROUND_HALF_UP, context=Context(prec=150))


@given(NUMBERS, st.integers(-30, 30), st.sampled_from(["round", "ceil", "floor"]), st.booleans())
def test_rounding_equals_decimal_quantize(number: str, digits: int, function: str, negative: bool) -> None:
    """Every number of digits from -30 to 30 rounds as an exact decimal does."""
    rounding = {"round": ROUND_HALF_UP, "ceil": ROUND_CEILING, "floor": ROUND_FLOOR}[function]
    value = Decimal(f"-{number}" if negative else number)
    expected = value.quantize(Decimal(1).scaleb(-digits), rounding=rounding, context=Context(prec=80))
    assert evaluate(f"{function}({value}, {digits})") == expected
