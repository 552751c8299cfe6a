"""The properties of an event in the one form they are published and compared in."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

Issues = dict[str, list[str]]

MAX_PROPERTIES_BYTES = 65_536
"""Far above any real event, and sixteen such events still fit in one Kafka record."""
MAX_PROPERTIES = 100
"""Keys an event may have: each is a column somebody may filter by, not a place for bulk data."""
MAX_NESTING = 10
"""Levels of objects and lists below `properties`; deeper ones are no measurements but somebody's document."""
MAX_NUMBER_CHARS = 40
"""Characters of a number in plain notation: room for a sign, 18 digits, the point and 18 decimals, with slack."""

_LARGEST_INT = 10**MAX_NUMBER_CHARS
_SMALLEST_INT = -(10 ** (MAX_NUMBER_CHARS - 1))
_NUL = b"\\u0000"
"""How a NUL is written; a text may also hold these six characters behind an escaped backslash."""
_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class _Refused(Exception):
    """One value cannot be kept as it is; `code` says why, `whole` that no single key is to blame."""

    def __init__(self, code: str, *, whole: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.whole = whole


def canonical_json(properties: Mapping[str, object], issues: Issues) -> bytes:
    """The properties as a JSON object with sorted keys and numbers in plain notation; each value keeps its type.

    What cannot be kept is added to `issues` under `properties.<key>`, or `properties` where no single key is
    to blame; the returned bytes then mean nothing.
    """
    if len(properties) > MAX_PROPERTIES:
        issues["properties"] = ["value_is_too_long"]
        return b"{}"
    encoded = _encoder.encode(properties) if _are_plain(properties) else b""
    if not encoded or _NUL in encoded:
        encoded = _encoder.encode(_plain_properties(properties, issues))
    if len(encoded) > MAX_PROPERTIES_BYTES:
        issues["properties"] = ["value_is_too_long"]
    return encoded


def _are_plain(properties: Mapping[str, object]) -> bool:
    """Whether all values are texts, whole numbers, booleans or null, which are written as they are.

    True of nearly every event, and told in a fraction of the time that a walk through the values takes. A NUL is
    not looked for: it shows in what is written.
    """
    for value in properties.values():
        kind = type(value)
        if kind is int:
            if not _SMALLEST_INT < value < _LARGEST_INT:
                return False
        elif kind is not str and kind is not bool and value is not None:
            return False
    return True


def with_property(properties: Mapping[str, object], key: str, text: str | None) -> bytes:
    """Accepted properties as JSON with `key` overwritten by `text`."""
    return _encoder.encode(_plain_properties({**properties, key: text}, {}))


def _plain_properties(properties: Mapping[str, object], issues: Issues) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, value in properties.items():
        try:
            if "\0" in key:
                raise _Refused("value_is_invalid")
            plain[key] = _plain(value, 1)
        except _Refused as refused:
            issues["properties" if refused.whole else f"properties.{key}"] = [refused.code]
    return plain


def _plain(value: object, level: int) -> object:
    """`value` with every number in plain notation."""
    if isinstance(value, str):
        if "\0" in value:
            raise _Refused("value_is_invalid")
        return value
    if isinstance(value, int):  # bool included: both are far inside the bounds
        if not _SMALLEST_INT < value < _LARGEST_INT:
            raise _Refused("value_is_out_of_range")
        return value
    if isinstance(value, Decimal):
        text = plain_number(value)
        if text is None:
            raise _Refused("value_is_out_of_range")
        return msgspec.Raw(text.encode())
    return _plain_nested(value, level)


def _plain_nested(value: object, level: int) -> object:
    if value is None:
        return None
    if level >= MAX_NESTING:
        raise _Refused("value_is_invalid", whole=True)
    if isinstance(value, list):
        return [_plain(item, level + 1) for item in value]
    assert isinstance(value, dict)  # JSON has no other values
    if any("\0" in key for key in value):
        raise _Refused("value_is_invalid")
    return {key: _plain(item, level + 1) for key, item in value.items()}


def plain_number(value: Decimal) -> str | None:
    """`value` without an exponent, or None when that takes more than `MAX_NUMBER_CHARS`.

    The exponent is looked at first: `1e999999999` must not be written out to be measured.
    """
    text = str(value)
    if "E" in text:
        if abs(value.adjusted()) > MAX_NUMBER_CHARS:
            return None
        text = format(value, "f")
    return text if len(text) <= MAX_NUMBER_CHARS else None
