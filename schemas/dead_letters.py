"""The record of the dead letter topic."""

import base64

import msgspec


class DeadLetterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A line that can never be counted.

    `original` holds what came: as text, or base64-encoded where it is long or no UTF-8; `original_encoding`
    ("utf-8" or "base64") tells. `line` counts from 0 inside the record at `offset`. `code` is stable, `reason` is
    for people.
    """

    original: str
    original_encoding: str
    topic: str
    partition: int
    offset: int
    line: int
    code: str
    reason: str

    @property
    def original_bytes(self) -> bytes:
        """The line as it came. Raises: ValueError when it says base64 and is none."""
        if self.original_encoding == "base64":
            return base64.b64decode(self.original, validate=True)
        return self.original.encode()


def decode_dead_letter(value: bytes) -> DeadLetterRecord:
    """Read a record of the topic. Raises: ValueError for anything else."""
    return msgspec.json.decode(value, type=DeadLetterRecord)
