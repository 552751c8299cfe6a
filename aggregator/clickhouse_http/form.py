"""A query sent as a form: how a client sends parameters that are too long for the address."""

import re
from collections.abc import AsyncIterator, Mapping

from aggregator.clickhouse_http.errors import ErrorCode, raised_here

FORM = "multipart/form-data"
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"]*)"', re.IGNORECASE)
_FILE = re.compile(rb"\bfilename\*?=", re.IGNORECASE)


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether the body is a form."""
    return headers.get("content-type", "").lower().startswith(FORM)


async def read_form(headers: Mapping[str, str], body: AsyncIterator[bytes]) -> dict[str, str]:
    """The fields of a form, which count as if they stood in the address.

    Bounds:  the body is bounded by whoever reads it.
    Raises:  ClickHouseHttpError, code 36, for what is no form; 48 for a file, which would be an external table.
    """
    boundary = _BOUNDARY.search(headers["content-type"])
    if boundary is None:
        raise raised_here(ErrorCode.BAD_ARGUMENTS, "The form has no boundary.")
    text = b"\r\n" + b"".join([piece async for piece in body])
    # What stands before the first delimiter is not part of the form, nor what follows the closing one.
    _, *parts = text.split(b"\r\n--" + boundary[1].encode())
    if not parts or not parts[-1].startswith(b"--"):
        raise raised_here(ErrorCode.BAD_ARGUMENTS, "The form has no end.")
    return dict(_field(part) for part in parts[:-1])


def _field(part: bytes) -> tuple[str, str]:
    head, separator, value = part.partition(b"\r\n\r\n")
    name = _NAME.search(head)
    if name is None or not separator:
        raise raised_here(ErrorCode.BAD_ARGUMENTS, "A field of the form has no name.")
    if _FILE.search(head):
        raise raised_here(ErrorCode.NOT_IMPLEMENTED, "External tables are not supported here.")
    try:
        return name[1].decode(), value.decode()
    except UnicodeDecodeError as error:
        raise raised_here(ErrorCode.BAD_ARGUMENTS, f"A field of the form is not UTF-8 text: {error}") from error
