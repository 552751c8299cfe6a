"""Properties in the form they are published in."""

from decimal import Decimal

import msgspec
import pytest

from ingest.properties import Issues, canonical_json, with_property


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, b"{}"),
        ({"b": 1, "a": "x"}, b'{"a":"x","b":1}'),
        ({"v": Decimal("1E+5")}, b'{"v":100000}'),
        ({"v": Decimal("1E-7")}, b'{"v":0.0000001}'),
        ({"v": Decimal("0E+5")}, b'{"v":0}'),
        ({"v": Decimal("1.50")}, b'{"v":1.50}'),
        ({"v": "1.50"}, b'{"v":"1.50"}'),
        ({"v": -(10**17)}, b'{"v":-100000000000000000}'),
        ({"v": 10**39}, b'{"v":1000000000000000000000000000000000000000}'),
        ({"v": None, "w": True}, b'{"v":null,"w":true}'),
        ({"v": {"z": Decimal("1E+2"), "a": [1]}}, b'{"v":{"a":[1],"z":100}}'),
        ({"v": nested(9)}, b'{"v":[[[[[[[[[1]]]]]]]]]}'),
        ({"v": "x" * 10_000}, b'{"v":"' + b"x" * 10_000 + b'"}'),
    ],
)
def test_canonical_json_sorts_keys_and_writes_plain_numbers(
    properties: dict[str, object], expected: bytes
) -> None:
    """Keys are sorted, numbers have no exponent, types and digits stay as sent."""
    issues: Issues = {}
    assert canonical_json(properties, issues) == expected
    assert issues == {}


@pytest.mark.parametrize(
    ("properties", "issues"),
    [
        ({"v": 10**40}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": -(10**39)}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": Decimal("1E+40")}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": Decimal("1E-39")}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": Decimal("1E+999999999")}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": Decimal("1E-999999999")}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": Decimal("0E+999999999")}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": {"w": [Decimal("1E+99")]}}, {"properties.v": ["value_is_out_of_range"]}),
        ({"v": "a\0b"}, {"properties.v": ["value_is_invalid"]}),
        ({"v\0": 1}, {"properties.v\0": ["value_is_invalid"]}),
        ({"v": {"w\0": 1}}, {"properties.v": ["value_is_invalid"]}),
        ({"v": nested(10)}, {"properties": ["value_is_invalid"]}),
        ({"v": "x" * 65_536}, {"properties": ["value_is_too_long"]}),
        ({f"k{i}": i for i in range(101)}, {"properties": ["value_is_too_long"]}),
        (
            {"a": "\0", "b": 10**50, "c": 1},
            {"properties.a": ["value_is_invalid"], "properties.b": ["value_is_out_of_range"]},
        ),
    ],
)
def test_canonical_json_reports_what_it_cannot_keep(properties: dict[str, object], issues: Issues) -> None:
    """Every value that cannot be kept exactly is named, all of them at once."""
    found: Issues = {}
    canonical_json(properties, found)
    assert found == issues


def test_with_property_overwrites_even_where_all_keys_are_taken() -> None:
    """The shown properties may have one key more than an event may send."""
    shown = msgspec.json.decode(with_property({f"k{i}": i for i in range(100)}, "value", "2.5"))
    assert len(shown) == 101
    assert shown["value"] == "2.5"
