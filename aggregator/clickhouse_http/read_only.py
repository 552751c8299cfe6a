"""What keeps a read-only client from writing, and from reading this machine's files or network.

1. Every handle of a read-only interface runs under `readonly = 1`, set by the interface in the statement that
   applies the allowed settings. The engine then refuses INSERT, DDL, every change of a setting (`readonly`
   included, also in a SETTINGS clause) and table functions that reach outside: file, url, s3, remote, …
2. Six things slip through `readonly = 1` in chDB, which treats its caller as the owner of the machine: INTO
   OUTFILE, the scalar function `file`, DESCRIBE of a table function (it opens the file or the socket to find the
   columns), tables named like a file (answered from a cache once the owner has read that file), SYSTEM STOP … and
   KILL. They are refused here on the syntax tree that the engine's own parser returns, with allow-lists of query
   kinds and table functions.

A read-only client can still see other queries in `system.processes`; the store holds nothing else than the events.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aggregator.clickhouse_http.engine import Handle
from aggregator.clickhouse_http.errors import ClickHouseHttpError, ErrorCode, raised_here
from aggregator.clickhouse_http.inspection import QUOTED, Inspection, inspect_query
from aggregator.clickhouse_http.limits import HttpLimits

READ_ONLY_KINDS = frozenset(
    {
        "SelectWithUnionQuery",
        "SelectIntersectExceptQuery",
        "SelectQuery",
        "ExplainQuery",
        "ShowTablesQuery",
        "ShowColumnsQuery",
        "ShowIndexesQuery",
        "ShowSettingQuery",
        "ShowFunctions",
        "ShowEngineQuery",
        "ShowProcesslistQuery",
        "ShowGrantsQuery",
        "ShowCreateTableQuery",
        "ShowCreateViewQuery",
        "ShowCreateDatabaseQuery",
        "ShowCreateDictionaryQuery",
        "ExistsTableQuery",
        "ExistsViewQuery",
        "ExistsDatabaseQuery",
        "ExistsDictionaryQuery",
        "DescribeQuery",
    }
)

OUTSIDE_FUNCTIONS = frozenset(
    {
        "file",
        "catboostevaluate",
        *(
            f"ai{verb}"
            for verb in (
                "classify",
                "embed",
                "extract",
                "filter",
                "generate",
                "redact",
                "similarity",
                "translate",
            )
        ),
    }
)
"""Scalar functions that read a file or call a service, in lower case: the engine knows several spellings.

A name that is not called, such as a column `file`, is refused as well: `arrayMap(file, …)` is a call.
"""

INSIDE_TABLE_FUNCTIONS = frozenset(
    {
        "generaterandom",
        "generate_series",
        "generateseries",
        "merge",
        "mergetreeindex",
        "mergetreeprojection",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "values",
        "view",
        "zeros",
        "zeros_mt",
    }
)
"""Table functions that stay inside the store, in lower case."""

ALLOWED_SETTINGS = frozenset(
    {
        "date_time_input_format",
        "date_time_output_format",
        "extremes",
        "final",
        "force_optimize_projection",
        "join_use_nulls",
        "max_block_size",
        "max_bytes_to_read",
        "max_execution_time",
        "max_result_bytes",
        "max_result_rows",
        "max_rows_to_read",
        "max_threads",
        "optimize_use_projections",
        "preferred_block_size_bytes",
        "read_overflow_mode",
        "result_overflow_mode",
        "session_timezone",
        "timeout_overflow_mode",
        "use_query_cache",
        "use_uncompressed_cache",
    }
)
"""URL settings that shape or bound an answer; the `output_format_` ones are allowed as well, but for one."""

FILE_WRITING_SETTING = "output_format_schema"

_PLAIN_TABLE = re.compile(r"DESCRIBE TABLE (?:\w+|``)(?:\.(?:\w+|``))?(?: FORMAT \w+)?")
_SUBQUERY = re.compile(r"DESCRIBE TABLE (\(.*\))(?: FORMAT \w+)?", re.DOTALL)
_NAME_IN_BACKTICKS = re.compile(r"`((?:[^`\\]|\\.)*)`")


def read_only_settings(requested: Mapping[str, str], limits: HttpLimits) -> dict[str, str]:
    """Build the settings of a read-only handle: what was asked for, inside the bounds, and `readonly` last.

    Raises:  ClickHouseHttpError, code 164, for a setting that is not allowed, as under `readonly = 1` on a server.
    """
    settings = {"max_memory_usage": str(limits.memory_bytes_max)}
    for name, value in requested.items():
        if name in ALLOWED_SETTINGS or _is_output_format(name):
            settings[name] = value
        elif name != "readonly" or value not in {"1", "2"}:
            raise raised_here(ErrorCode.READONLY, f"Cannot modify '{name}' setting in readonly mode.")
    asked = settings.get("max_execution_time", "0")
    settings["max_execution_time"] = str(bound_execution_time(asked, limits.execution_seconds_max))
    settings["readonly"] = "1"
    return settings


def _is_output_format(name: str) -> bool:
    return name.startswith("output_format_") and name != FILE_WRITING_SETTING


def bound_execution_time(asked: str, seconds_max: int) -> float:
    """Bound a `max_execution_time`; 0 means unlimited and becomes the ceiling.

    Raises:  ClickHouseHttpError, code 36, for what is not a number of seconds.
    """
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise raised_here(ErrorCode.BAD_ARGUMENTS, f"max_execution_time {asked!r} is not a number of seconds.")
    return min(seconds, seconds_max) if seconds else seconds_max


def refuse_outside_reach(handle: Handle, inspection: Inspection, parameters: Mapping[str, str]) -> None:
    """Refuse what `readonly = 1` lets through.

    Raises:  ClickHouseHttpError, code 164.
    """
    if inspection.kind not in READ_ONLY_KINDS:
        raise _refused(f"{inspection.kind} is not a reading query")
    if inspection.kind == "DescribeQuery":
        _check_describe(handle, inspection.canonical, parameters)
    names = _used_names(inspection, parameters)
    for name in names.called:
        if name.lower() in OUTSIDE_FUNCTIONS:
            raise _refused(f"{name!r} is the name of a function that reaches outside the store")
    for name in names.table_functions:
        if name.lower() not in INSIDE_TABLE_FUNCTIONS:
            raise _refused(f"table function {name!r} may reach outside the store")
    for name in names.tables:
        if is_file_name(name):
            raise _refused(f"table {name!r} is named like a file")


def _check_describe(handle: Handle, canonical: str, parameters: Mapping[str, str]) -> None:
    subquery = _SUBQUERY.fullmatch(canonical)
    if subquery is not None:
        refuse_outside_reach(handle, inspect_query(handle, subquery.group(1)), parameters)
    elif not _PLAIN_TABLE.fullmatch(QUOTED.sub("``", canonical)):
        raise _refused("DESCRIBE is limited to tables and subqueries")


@dataclass(frozen=True)
class UsedNames:
    """The names in a query: what could be called, the table functions, the tables and their databases."""

    called: Sequence[str]
    table_functions: Sequence[str]
    tables: Sequence[str]


def _used_names(inspection: Inspection, parameters: Mapping[str, str]) -> UsedNames:
    """Collect the names; a parameter of type Identifier may stand for any of them."""
    called: list[str] = []
    table_functions: list[str] = []
    tables: list[str] = _NAME_IN_BACKTICKS.findall(inspection.canonical)
    for node in inspection.nodes():
        match node.get("type"):
            case "Function" | "Identifier":
                called.append(str(node.get("name", "")))
            case "ColumnsApplyTransformer":
                called.append(str(node.get("func_name", "")))
            case "TableIdentifier":
                tables.extend(node.get("name_parts") or [str(node.get("name", ""))])
            case "QueryParameter" if node.get("param_type") == "Identifier":
                called.extend(parameters.values())
                tables.extend(parameters.values())
        if isinstance(table_function := node.get("table_function"), dict):
            table_functions.append(str(table_function.get("name", "")))
    return UsedNames(called, table_functions, tables)


def is_file_name(name: str) -> bool:
    """Say whether chDB could take a table name for a path, a URL or a file of the working directory."""
    return any(mark in name for mark in ("/", "\\", ":", ".", "*", "?", "{"))


def _refused(reason: str) -> ClickHouseHttpError:
    return raised_here(ErrorCode.READONLY, f"Cannot execute query in readonly mode: {reason}.")
