"""ClickHouse's errors: an exception code, the HTTP status it travels with, and the text body.

Source: ClickHouse HTTP interface, status by exception code.
"""

import re
from enum import IntEnum
from http import HTTPStatus

VERSION_SUFFIX = re.compile(r"(?: \(version [^()]*(?:\([^()]*\))?\)\.?)(?= \(|$)")
_CODE = re.compile(r"Code: (\d+)\. ")
_NESTED_PREFIX = re.compile(r"(Code: (\d+)\. DB::Exception: )Code: \2\. DB::Exception: ")
_REPEATED_NAME = re.compile(r"( \([A-Z_0-9]+\))\1$")


class ErrorCode(IntEnum):
    """The exception codes that this interface raises itself."""

    BAD_ARGUMENTS = 36
    NOT_IMPLEMENTED = 48
    SYNTAX_ERROR = 62
    READONLY = 164
    REQUIRED_PASSWORD = 194
    TOO_MANY_SIMULTANEOUS_QUERIES = 202
    CANNOT_DECOMPRESS = 271
    TOO_MANY_BYTES = 307
    INTO_OUTFILE_NOT_ALLOWED = 358
    AUTHENTICATION_FAILED = 516
    UNKNOWN_EXCEPTION = 1002


_STATUS_BY_CODE: dict[HTTPStatus, frozenset[int]] = {
    # The caller's text or data: arguments, parsing of values, syntax, types, parameters, broken compression.
    HTTPStatus.BAD_REQUEST: frozenset(
        {6, 25, 26, 27, 33, 36, 38, 41, 42, 43, 53, 62, 69, 72, 117, 158, 271, 321, 358, 441, 456, 457, 675, 676}
    ),
    HTTPStatus.UNAUTHORIZED: frozenset({194}),
    HTTPStatus.FORBIDDEN: frozenset({164, 192, 193, 497, 516}),
    # Unknown function, identifier, type, engine, table, aggregate, format, query type, database, setting, role.
    HTTPStatus.NOT_FOUND: frozenset({46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336, 511}),
    HTTPStatus.REQUEST_TIMEOUT: frozenset({159}),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: frozenset({307}),
    HTTPStatus.NOT_IMPLEMENTED: frozenset({48}),
    HTTPStatus.SERVICE_UNAVAILABLE: frozenset({202, 209, 439}),
}


class ClickHouseHttpError(Exception):
    """An error as the client sees it: `Code: 60. DB::Exception: …`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the code; 500 for a code that has none of its own."""
        return next((status for status, codes in _STATUS_BY_CODE.items() if self.code in codes), _OTHERWISE)


_OTHERWISE = HTTPStatus.INTERNAL_SERVER_ERROR


def raised_here(code: ErrorCode, message: str) -> ClickHouseHttpError:
    """Build an error of this interface in ClickHouse's words."""
    return ClickHouseHttpError(code, f"Code: {code:d}. DB::Exception: {message} ({code.name})")


def raised_by_engine(error: Exception) -> ClickHouseHttpError:
    """Read an engine error: drop the driver's own prefix and what chDB says twice."""
    text = str(error).strip()
    found = _CODE.search(text)
    if found is None:
        return raised_here(ErrorCode.UNKNOWN_EXCEPTION, text or type(error).__name__)
    text = _NESTED_PREFIX.sub(r"\1", text[found.start() :])
    text = _REPEATED_NAME.sub(r"\1", VERSION_SUFFIX.sub("", text))
    return ClickHouseHttpError(int(found.group(1)), text)
