"""The record of the dead letter topic."""

import msgspec


class DeadLetterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A line that can never be counted.

    `original` holds what came: as text, or base64-encoded where it is no UTF-8; `original_encoding` ("utf-8" or
    "base64") tells. `line` counts from 0 inside the record at `offset`. `code` is stable, `reason` is for people.
    """

    original: str
    original_encoding: str
    topic: str
    partition: int
    offset: int
    line: int
    code: str
    reason: str
