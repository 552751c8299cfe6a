"""What a query is, in the words of the engine's own parser.

`parseQueryToJSON` receives the query as a bound parameter, so nothing is executed and nothing is spliced. It
refuses several statements at once, as a ClickHouse server does over HTTP; chDB alone would run them all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from aggregator.clickhouse_http.engine import Handle, translate_engine_errors
from aggregator.clickhouse_http.errors import ClickHouseHttpError, ErrorCode, raised_here

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
    the query as the engine itself prints it on one line.
    """

    kind: str
    tree: dict[str, Any] = field(default_factory=dict)
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

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Yield every node of the syntax tree."""
        return walk(self.tree)


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
