"""What becomes of a line that can never be counted: it is kept, with its original bytes and the reason."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from schemas.dead_letters import DeadLetterRecord
from schemas.events import Position


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line of the stream that can never be counted. `code` is stable, `reason` is for people."""

    original: bytes
    topic: str
    position: Position
    code: str
    reason: str


TEXT_BYTES_MAX = 100_000
"""Longer lines are kept in base64; nobody reads them in a terminal."""

SendDeadLetters = Callable[[Sequence[DeadLetter]], None]
"""Keeps dead letters for good; blocking; raises TransientError when not all of them are known to be durable."""


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """The record of the dead letter topic: a JSON object.

    Bytes that are no UTF-8 are given in base64, and so is a long line: escaped, it could take six times its
    length and pass the bound of the topic.
    """
    original, encoding = _readable(letter.original)
    return msgspec.json.encode(
        DeadLetterRecord(
            original=original,
            original_encoding=encoding,
            topic=letter.topic,
            partition=letter.position.partition,
            offset=letter.position.offset,
            line=letter.position.line,
            code=letter.code,
            reason=letter.reason,
        )
    )


def _readable(line: bytes) -> tuple[str, str]:
    if len(line) <= TEXT_BYTES_MAX:
        try:
            return line.decode(), "utf-8"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(line).decode(), "base64"
