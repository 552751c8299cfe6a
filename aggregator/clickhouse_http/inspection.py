"""What a query is, in the words of the engine's own parser.

`parseQueryToJSON` receives the query as a bound parameter, so nothing is executed and nothing is spliced. It
refuses several statements at once, as a ClickHouse server does over HTTP; chDB alone would run them all.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from aggregator.clickhouse_http.engine import Handle, translate_engine_errors
from aggregator.clickhouse_http.errors import ClickHouseHttpError, ErrorCode, raised_here

REMEMBERED_MAX = 128
REMEMBERED_BYTES_MAX = 64 * 1024
"""A query and its tree as JSON: what a client can make this process keep is at most this much, so many times."""

QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
"""A string or a quoted name in a printed query."""

_OUTER_SCOPE = re.compile(r"[.: ]*: In scope SELECT parseQueryToJSON\(.*\)\. (?=\([A-Z_]+\)$)", re.DOTALL)
_NO_JSON = re.compile(r"AST node of type '([A-Za-z]+)[^']*' does not support JSON serialization")
_PRINTED_FORMAT = re.compile(r" FORMAT (\w+)(?: SETTINGS .*)?$")
_READS = re.compile(r"(Select|Show|Describe|Exists|Explain|Check|Kill)")


@dataclass(frozen=True)
class Inspection:
    """A parsed query: its kind (`SelectWithUnionQuery`, …) and its syntax tree.

    Where the engine has no JSON for a kind (DESCRIBE, EXISTS, SHOW CREATE, …), `tree` is empty and `canonical` is
    the query as the engine itself prints it on one line. Requests share an inspection: nobody changes its tree.
    """

    kind: str
    tree: Mapping[str, Any] = field(default_factory=dict)
    canonical: str = ""

    @property
    def has_result(self) -> bool:
        """Whether the query answers with rows, be they none."""
        return _READS.match(self.kind) is not None

    @property
    def format_name(self) -> str | None:
        """The FORMAT clause."""
        clause = self.tree.get("format_ast")
        if clause is not None:
            return str(clause["name"])
        printed = _PRINTED_FORMAT.search(QUOTED.sub("''", self.canonical))
        return None if printed is None else printed.group(1)

    @cached_property
    def has_row_of_totals(self) -> bool:
        """Whether it groups WITH TOTALS."""
        return any(node.get("group_by_with_totals") for node in self.nodes())

    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """Yield every node of the syntax tree."""
        return walk(self.tree)


class Inspector:
    """Inspects queries and remembers the latest: parsing costs the engine as much as running a small one.

    What a query is depends on its text and on the settings it is parsed under; its parameters are no part of it.
    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], Inspection] = OrderedDict()

    def inspect(self, handle: Handle, query: str, settings: Mapping[str, str]) -> Inspection:
        """As `inspect_query` on a handle with these settings; what was refused is asked again.

        Raises:  ClickHouseHttpError as `inspect_query`.
        """
        key = (query, tuple(settings.items()))
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        inspection = inspect_query(handle, query)
        if _size(query, settings, inspection) <= REMEMBERED_BYTES_MAX:
            self._remember(key, inspection)
        return inspection

    def _remember(self, key: tuple[str, tuple[tuple[str, str], ...]], inspection: Inspection) -> None:
        with self._lock:
            self._known[key] = inspection
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)


def _size(query: str, settings: Mapping[str, str], inspection: Inspection) -> int:
    asked = sum(map(len, (query, inspection.canonical, *settings.keys(), *settings.values())))
    return asked + len(orjson.dumps(inspection.tree))


def inspect_query(handle: Handle, query: str) -> Inspection:
    """Parse a query without running it.

    Raises:  ClickHouseHttpError for a syntax error, several statements, or INTO OUTFILE, which would write a file
             of the machine that runs the engine.
    """
    try:
        tree = orjson.loads(_ask_parser(handle, "parseQueryToJSON", query))
    except ClickHouseHttpError as error:
        kind = _kind_without_tree(error)
        canonical = _ask_parser(handle, "formatQuerySingleLine", query).decode().strip()
        inspection = Inspection(kind, canonical=canonical)
    else:
        inspection = Inspection(tree["type"], tree)
    if _writes_file(inspection):
        raise raised_here(ErrorCode.INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed.")
    return inspection


def _ask_parser(handle: Handle, function: str, query: str) -> bytes:
    statement = f"SELECT {function}({{query:String}})"
    parameters = {"query": escape_parameter(query)}
    return translate_engine_errors(lambda: handle.query(statement, "TabSeparatedRaw", params=parameters)).bytes()


def _kind_without_tree(error: ClickHouseHttpError) -> str:
    unsupported = _NO_JSON.search(error.text)
    if unsupported is None:
        raise ClickHouseHttpError(error.code, _OUTER_SCOPE.sub(". ", error.text)) from error
    return unsupported.group(1)


def _writes_file(inspection: Inspection) -> bool:
    if inspection.canonical:
        return "INTO OUTFILE" in QUOTED.sub("''", inspection.canonical)
    return any(node.get("out_file") for node in inspection.nodes())


def walk(node: object) -> Iterator[dict[str, Any]]:
    """Yield every mapping in a JSON value, outermost first; a stack, because queries nest deeply."""
    stack = [node]
    while stack:
        match stack.pop():
            case dict() as mapping:
                yield mapping
                stack.extend(mapping.values())
            case list() as items:
                stack.extend(items)
            case _:
                pass


def escape_parameter(value: str) -> str:
    """Escape a value for a String query parameter, which the engine reads like a TabSeparated field."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
