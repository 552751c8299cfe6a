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


SendDeadLetters = Callable[[Sequence[DeadLetter]], None]
"""Keeps dead letters for good; blocking; raises TransientError when not all of them are known to be durable."""


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """The record of the dead letter topic: a JSON object; bytes that are no UTF-8 are given in base64."""
    try:
        original, encoding = letter.original.decode(), "utf-8"
    except UnicodeDecodeError:
        original, encoding = base64.b64encode(letter.original).decode(), "base64"
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
