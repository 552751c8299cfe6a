"""The expression language of billable metrics: arithmetic and text over one event.

    expression = product (("+" | "-") product)*
    product    = unary (("*" | "/") unary)*
    unary      = "-" unary | atom
    atom       = number | text | event field | function "(" expression ("," expression)* ")" | "(" expression ")"

A number is `12` or `12.5`, a text stands between single quotes, the event's fields are `event.code`,
`event.timestamp` and `event.properties.<name>`. Functions (lower, UPPER or Capitalized): `concat`, `round`,
`ceil`, `floor`, `least`, `greatest`. Source: Lago expression language.
"""

import decimal
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum
from typing import Final, assert_never

from schemas.errors import MillraceError

SOURCE_LENGTH_MAX = 2_000
TOKENS_MAX = 500
NESTING_MAX = 50
"""Parentheses, function calls and minus signs inside one another; keeps the parser off Python's stack limit."""
NUMBER_DIGITS_MAX = 60
"""Significant digits of a number, written or computed; a quotient is rounded half up to as many."""
EXPONENT_MAX = 99
"""Numbers stay below 10^100, so that none prints as a page of zeros."""
ROUNDING_DIGITS_MAX = 30
RESULT_DECIMALS = 18
"""Decimals of a result: those an event's value may have."""
TEXT_LENGTH_MAX = 10_000
"""Characters of a text that `concat` builds."""

Value = Decimal | str

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>[0-9]+(?:\.[0-9]+)?)
      | (?P<text>'[^']*')
      | (?P<name>[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)
      | (?P<symbol>[-+*/(),])""",
    re.VERBOSE,
)
_NUMBER_TEXT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_PROPERTY_PREFIX = "event.properties."


class InvalidExpression(MillraceError):
    """A text that is no expression; `position` is the offset in characters, from 0, of what is wrong."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at {position})")
        self.message = message
        self.position = position


class ExpressionError(MillraceError):
    """An expression that has no value for this event."""


class Operator(StrEnum):
    """Arithmetic on two numbers."""

    add = "+"
    subtract = "-"
    multiply = "*"
    divide = "/"


class Function(StrEnum):
    """What an expression can call."""

    concat = "concat"
    round = "round"
    ceil = "ceil"
    floor = "floor"
    least = "least"
    greatest = "greatest"


class EventField(StrEnum):
    """What an expression reads of the event besides its properties."""

    code = "event.code"
    timestamp = "event.timestamp"


@dataclass(frozen=True, slots=True)
class Literal:
    """A number or a text as written."""

    value: Value


@dataclass(frozen=True, slots=True)
class Property:
    """`event.properties.<name>`."""

    name: str


@dataclass(frozen=True, slots=True)
class Negation:
    """Unary minus."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands of one precedence, worked off left to right; flat, so that a long sum nests nothing."""

    first: "Node"
    rest: "tuple[tuple[Operator, Node], ...]"


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    function: Function
    arguments: "tuple[Node, ...]"


Node = Literal | Property | EventField | Negation | Chain | Call


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; parse once, evaluate for every event."""

    source: str
    root: Node

    def evaluate(self, *, code: str, timestamp: Decimal, properties: Mapping[str, object]) -> Value:
        """The value of the expression for one event.

        Units:   `timestamp` in seconds since the epoch.
        Bounds:  numbers have at most 60 digits and stay below 10^100; texts built have at most 10,000 characters.
                 A property is text, a number (int, Decimal) or a boolean (read as `true`, `false`); text
                 that reads `-?digits[.digits]` with at most 60 digits is a number, any other stays text.
        Rounds:  a quotient half up to 60 digits; the result, and a number in `concat`, half up to 18 decimals.
                 Trailing zeros are kept as arithmetic leaves them.
        Raises:  ExpressionError for a missing property, arithmetic on text, a division by zero or a number
                 out of bounds.
        Source:  Lago expression language.
        """
        scope = _Scope(code, timestamp, properties, _arithmetic())
        try:
            value = _evaluate(self.root, scope)
            return value if isinstance(value, str) else Decimal(_plain(value, scope.context))
        except decimal.DecimalException as error:
            raise ExpressionError("a number is out of bounds") from error


def parse_expression(text: str) -> Expression:
    """Parse an expression.

    Bounds: at most 2,000 characters, 500 tokens, 50 levels of nesting.
    Raises: InvalidExpression with the offset of what is wrong; characters outside the language come first.
    Source: Lago expression language.
    """
    if len(text) > SOURCE_LENGTH_MAX:
        raise InvalidExpression(f"longer than {SOURCE_LENGTH_MAX} characters", SOURCE_LENGTH_MAX)
    parser = _Parser(_tokens(text))
    root = parser.expression(depth=0)
    parser.expect_end()
    return Expression(text, root)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


_END: Final = "end"


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            what = "a text without its closing quote" if source[position] == "'" else "an unknown character"
            raise InvalidExpression(what, position)
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup, match.group(), position))
        if len(tokens) > TOKENS_MAX:
            raise InvalidExpression(f"more than {TOKENS_MAX} tokens", position)
        position = match.end()
    tokens.append(_Token(_END, "", position))
    return tokens


class _Parser:
    """Recursive descent over the tokens; the last token is the end, and is never stepped over."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._index = 0

    def expression(self, depth: int) -> Node:
        first = self._product(depth)
        rest: list[tuple[Operator, Node]] = []
        while (token := self._accept("+", "-")) is not None:
            rest.append((Operator(token.text), self._product(depth)))
        return Chain(first, tuple(rest)) if rest else first

    def expect_end(self) -> None:
        token = self._tokens[self._index]
        if token.kind != _END:
            raise InvalidExpression(f"unexpected {token.text}", token.position)

    def _product(self, depth: int) -> Node:
        first = self._unary(depth)
        rest: list[tuple[Operator, Node]] = []
        while (token := self._accept("*", "/")) is not None:
            rest.append((Operator(token.text), self._unary(depth)))
        return Chain(first, tuple(rest)) if rest else first

    def _unary(self, depth: int) -> Node:
        token = self._accept("-")
        if token is None:
            return self._atom(depth)
        return Negation(self._unary(_deeper(depth, token)))

    def _atom(self, depth: int) -> Node:
        token = self._tokens[self._index]
        match token.kind:
            case "number":
                self._index += 1
                return Literal(_number_literal(token))
            case "text":
                self._index += 1
                return Literal(token.text[1:-1])
            case "name":
                self._index += 1
                return self._name(token, depth)
            case _:
                return self._parenthesized(token, depth)

    def _parenthesized(self, token: _Token, depth: int) -> Node:
        if self._accept("(") is None:
            raise InvalidExpression("a value is missing", token.position)
        inner = self.expression(_deeper(depth, token))
        self._expect(")")
        return inner

    def _name(self, token: _Token, depth: int) -> Node:
        if token.text in tuple(EventField):
            return EventField(token.text)
        if token.text.startswith(_PROPERTY_PREFIX):
            return Property(_property_name(token))
        function = _function(token)
        self._expect("(")
        arguments = [self.expression(_deeper(depth, token))]
        while self._accept(",") is not None:
            arguments.append(self.expression(_deeper(depth, token)))
        self._expect(")")
        if function in _ROUNDING and len(arguments) > 2:
            raise InvalidExpression(f"{function} takes a number and its digits", token.position)
        return Call(function, tuple(arguments))

    def _accept(self, *symbols: str) -> _Token | None:
        token = self._tokens[self._index]
        if token.kind != "symbol" or token.text not in symbols:
            return None
        self._index += 1
        return token

    def _expect(self, symbol: str) -> None:
        if self._accept(symbol) is None:
            raise InvalidExpression(f"{symbol} is missing", self._tokens[self._index].position)


def _deeper(depth: int, token: _Token) -> int:
    if depth >= NESTING_MAX:
        raise InvalidExpression(f"nested deeper than {NESTING_MAX} levels", token.position)
    return depth + 1


def _number_literal(token: _Token) -> Decimal:
    if _digits(token.text) > NUMBER_DIGITS_MAX:
        raise InvalidExpression(f"a number of more than {NUMBER_DIGITS_MAX} digits", token.position)
    return Decimal(token.text)


def _property_name(token: _Token) -> str:
    name = token.text.removeprefix(_PROPERTY_PREFIX)
    if "." in name:
        raise InvalidExpression("a property name has no point", token.position)
    return name


def _function(token: _Token) -> Function:
    name = token.text.lower()
    if token.text not in (name, name.upper(), name.capitalize()) or name not in tuple(Function):
        raise InvalidExpression(f"unknown name {token.text[:60]}", token.position)
    return Function(name)


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


_ROUNDING: Final = {
    Function.round: decimal.ROUND_HALF_UP,
    Function.ceil: decimal.ROUND_CEILING,
    Function.floor: decimal.ROUND_FLOOR,
}


@dataclass(frozen=True, slots=True)
class _Scope:
    """One event, and the arithmetic it is evaluated in."""

    code: str
    timestamp: Decimal
    properties: Mapping[str, object]
    context: Context


def _arithmetic() -> Context:
    return Context(
        prec=NUMBER_DIGITS_MAX,
        rounding=decimal.ROUND_HALF_UP,
        Emin=-EXPONENT_MAX,
        Emax=EXPONENT_MAX,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )


def _evaluate(node: Node, scope: _Scope) -> Value:
    match node:
        case Literal(value):
            return value
        case Property(name):
            return _property_value(name, scope)
        case EventField():
            return _event_field(node, scope)
        case Negation(operand):
            return scope.context.minus(_number(operand, scope))
        case Chain(first, rest):
            return _evaluate_chain(first, rest, scope)
        case Call(function, arguments):
            return _evaluate_call(function, arguments, scope)
        case _:
            assert_never(node)


def _event_field(field: EventField, scope: _Scope) -> Value:
    match field:
        case EventField.code:
            return scope.code
        case EventField.timestamp:
            return _in_bounds(scope.timestamp, scope.context)
        case _:
            assert_never(field)


def _evaluate_chain(first: Node, rest: tuple[tuple[Operator, Node], ...], scope: _Scope) -> Decimal:
    total = _number(first, scope)
    for operator, operand in rest:
        total = _operate(operator, total, _number(operand, scope), scope.context)
    return total


def _operate(operator: Operator, left: Decimal, right: Decimal, context: Context) -> Decimal:
    match operator:
        case Operator.add:
            return context.add(left, right)
        case Operator.subtract:
            return context.subtract(left, right)
        case Operator.multiply:
            return context.multiply(left, right)
        case Operator.divide:
            if not right:
                raise ExpressionError("division by zero")
            return context.divide(left, right)
        case _:
            assert_never(operator)


def _evaluate_call(function: Function, arguments: tuple[Node, ...], scope: _Scope) -> Value:
    match function:
        case Function.concat:
            return _concat(arguments, scope)
        case Function.round | Function.ceil | Function.floor:
            digits = _rounding_digits(arguments[1], scope) if len(arguments) > 1 else 0
            return _rounded(_number(arguments[0], scope), digits, _ROUNDING[function], scope.context)
        case Function.least:
            return min(_number(argument, scope) for argument in arguments)
        case Function.greatest:
            return max(_number(argument, scope) for argument in arguments)
        case _:
            assert_never(function)


def _concat(arguments: tuple[Node, ...], scope: _Scope) -> str:
    parts: list[str] = []
    length = 0
    for argument in arguments:
        value = _evaluate(argument, scope)
        text = value if isinstance(value, str) else _plain(value, scope.context)
        length += len(text)
        if length > TEXT_LENGTH_MAX:
            raise ExpressionError(f"concat makes a text of more than {TEXT_LENGTH_MAX} characters")
        parts.append(text)
    return "".join(parts)


def _rounding_digits(node: Node, scope: _Scope) -> int:
    digits = _number(node, scope)
    if digits != digits.to_integral_value() or abs(digits) > ROUNDING_DIGITS_MAX:
        limit = ROUNDING_DIGITS_MAX
        raise ExpressionError(f"rounding takes a whole number of digits from -{limit} to {limit}")
    return int(digits)


def _rounded(value: Decimal, digits: int, rounding: str, context: Context) -> Decimal:
    """`value` to `digits` decimals, to tens and hundreds for negative ones; exact."""
    if _exponent(value) >= -digits:
        return value
    stepped = value.quantize(Decimal(1).scaleb(-digits), rounding=rounding, context=context)
    return context.plus(stepped)  # takes the sign off a zero


def _plain(value: Decimal, context: Context) -> str:
    """A number as it leaves the expression: written out, without an exponent, at most 18 decimals."""
    return format(_rounded(value, RESULT_DECIMALS, decimal.ROUND_HALF_UP, context), "f")


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ExpressionError("a value is not a finite number")
    return exponent


def _number(node: Node, scope: _Scope) -> Decimal:
    value = _evaluate(node, scope)
    if isinstance(value, str):
        raise ExpressionError(f"{value[:60]!r} is not a number")
    return value


def _property_value(name: str, scope: _Scope) -> Value:
    match scope.properties.get(name):
        case None:
            raise ExpressionError(f"the event has no property {name}")
        case bool() as claim:
            return "true" if claim else "false"
        case str() as text:
            return _number_or_text(text, scope.context)
        case int() | Decimal() as number:
            return _in_bounds(Decimal(number), scope.context)
        case _:
            raise ExpressionError(f"property {name} is neither text nor a number")


def _number_or_text(text: str, context: Context) -> Value:
    if _NUMBER_TEXT.fullmatch(text) is None or _digits(text) > NUMBER_DIGITS_MAX:
        return text
    return context.plus(Decimal(text))


def _in_bounds(value: Decimal, context: Context) -> Decimal:
    """The number itself: one that 60 digits cannot hold is refused, not rounded.

    Raises: ExpressionError.
    """
    if not value.is_finite() or len(value.as_tuple().digits) > NUMBER_DIGITS_MAX:
        raise ExpressionError(f"a number of more than {NUMBER_DIGITS_MAX} digits")
    return context.plus(value)
