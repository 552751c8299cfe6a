"""The little of HTTP that the hot routes need: a bounded body in, a JSON answer out, over plain ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.errors import InputError, PayloadTooLarge, TransientError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"


class ClientGone(Exception):
    """The caller hung up before its body was complete; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; `body` is encoded already."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[Header, ...] = field(default=())


def json_answer(status: int, body: object, *headers: Header) -> Answer:
    """An answer with `body` as JSON."""
    return Answer(status, msgspec.json.encode(body), headers=headers)


def refusal(error: InputError | TransientError) -> Answer:
    """The answer that an error of ours stands for; 503 says when to come back."""
    if isinstance(error, TransientError):
        return json_answer(503, error.body(), (b"retry-after", str(error.retry_after_seconds).encode()))
    return json_answer(error.status, error.body())


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header called `name` (lower case), or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def bearer_key(scope: Scope) -> str | None:
    """The API key: the second word of `Authorization`, whatever the first one is.

    Source: Lago API, transport.
    """
    words = (header(scope, b"authorization") or b"").split()
    return words[1].decode("utf-8", "replace") if len(words) > 1 else None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole request body.

    Raises: PayloadTooLarge as soon as the announced or the received length passes `limit_bytes`; ClientGone
    when the caller leaves in the middle.
    """
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and _exceeds(announced, limit_bytes):
        raise PayloadTooLarge(limit_bytes)
    chunks: list[bytes] = []
    received = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        received += len(chunk)
        if received > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _exceeds(announced: bytes, limit_bytes: int) -> bool:
    digits = announced.lstrip(b"0")
    return len(digits) > len(str(limit_bytes)) or int(digits or b"0") > limit_bytes


async def send_answer(send: Send, answer: Answer) -> None:
    """Send `answer` in one piece."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
