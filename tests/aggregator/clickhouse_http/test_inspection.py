"""When the engine's parser is asked about a query, and when what it said before is used."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from aggregator.clickhouse_http.errors import ClickHouseHttpError
from aggregator.clickhouse_http.inspection import REMEMBERED_BYTES_MAX, REMEMBERED_MAX, Inspector


class Parsed:
    """What the parser answers."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def bytes(self) -> bytes:
        return self._text


class ParserOnly:
    """A handle that only parses: SELECT something, or a syntax error."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, query: str, format: str, params: Mapping[str, str] | None = None) -> Parsed:  # noqa: A002  the driver's name
        assert query == "SELECT parseQueryToJSON({query:String})"
        assert params is not None
        text = params["query"]
        self.asked.append(text)
        if not text.startswith("SELECT"):
            raise RuntimeError("Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)")
        return Parsed(orjson.dumps({"type": "SelectWithUnionQuery", "text": text}))


def inspect(inspector: Inspector, handle: ParserOnly, query: str, settings: Mapping[str, str]) -> object:
    return inspector.inspect(handle, query, settings).tree["text"]  # type: ignore[arg-type]  # parses, no more


def test_inspection_of_a_text_again_asks_the_parser_once() -> None:
    """The second request with a text costs no parsing, whatever was asked in between."""
    inspector, handle = Inspector(), ParserOnly()

    seen = [inspect(inspector, handle, query, {"readonly": "1"}) for query in ("SELECT 1", "SELECT 2", "SELECT 1")]

    assert seen == ["SELECT 1", "SELECT 2", "SELECT 1"]
    assert handle.asked == ["SELECT 1", "SELECT 2"]


def test_inspection_under_other_settings_asks_again() -> None:
    """A setting may change how a text is parsed, so what was seen under others says nothing."""
    inspector, handle = Inspector(), ParserOnly()

    for settings in ({}, {"implicit_select": "1"}, {}):
        inspect(inspector, handle, "SELECT 1", settings)

    assert handle.asked == ["SELECT 1", "SELECT 1"]


def test_inspection_that_failed_asks_again() -> None:
    """An error is not remembered: the next request gets its own."""
    inspector, handle = Inspector(), ParserOnly()

    for _ in range(2):
        with pytest.raises(ClickHouseHttpError, match="Syntax error"):
            inspect(inspector, handle, "SELEKT 1", {})

    assert handle.asked == ["SELEKT 1", "SELEKT 1"]


def test_inspection_of_a_long_text_is_not_remembered() -> None:
    """What clients can make the process keep is bounded by the size of a query."""
    inspector, handle = Inspector(), ParserOnly()
    long = "SELECT " + "1" * REMEMBERED_BYTES_MAX

    for _ in range(2):
        inspect(inspector, handle, long, {})

    assert handle.asked == [long, long]


def test_inspection_of_many_texts_forgets_the_one_not_asked_for_the_longest() -> None:
    """What clients can make the process keep is bounded by number; what is in use stays."""
    inspector, handle = Inspector(), ParserOnly()
    for number in range(REMEMBERED_MAX):
        inspect(inspector, handle, f"SELECT {number}", {})
    inspect(inspector, handle, "SELECT 0", {})
    inspect(inspector, handle, "SELECT 'one more'", {})
    handle.asked.clear()

    inspect(inspector, handle, "SELECT 0", {})
    inspect(inspector, handle, "SELECT 1", {})

    assert handle.asked == ["SELECT 1"]
