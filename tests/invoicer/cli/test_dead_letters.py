"""Dead letters as a table, and what of them can be sent again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from rich.console import Console
from rich.progress import Progress

from aggregator.dead_letters import DeadLetter, encode_dead_letter
from invoicer.cli.dead_letters import (
    ApiSender,
    KeptLetter,
    letters_of_clickhouse,
    letters_of_topic,
    replay_letters,
    table_of,
    with_code,
)
from schemas.errors import TransientError
from schemas.events import Position

NOW = datetime(2026, 8, 13, 12, tzinfo=UTC)
NOON_MS = 1_786_622_400_000


@dataclass(frozen=True)
class Kept:
    value: bytes
    timestamp_ms: int = NOON_MS


def line(transaction_id: str, organization_id: str = "org", subscription: str = "sub-1") -> bytes:
    return (
        f'{{"organization_id":"{organization_id}","external_subscription_id":"{subscription}",'
        f'"transaction_id":"{transaction_id}","code":"c","timestamp":"1786622400","properties":{{"n":1.50}}}}'
    ).encode()


def letters(*originals: bytes, code: str = "value_out_of_range", offset: int = 0) -> list[KeptLetter]:
    """Letters as the aggregator keeps them, one record each."""
    return list(
        letters_of_topic(
            Kept(encode_dead_letter(DeadLetter(original, "usage", Position(0, offset + n, 0), code, "too many")))
            for n, original in enumerate(originals)
        )
    )


def replayed(
    found: list[KeptLetter], refusals: Mapping[int, str] | None = None
) -> tuple[str, list[str], list[tuple[bytes, bytes]]]:
    """The closing line, the reasons, and what was sent."""
    sent: list[tuple[bytes, bytes]] = []

    def send(lines: Sequence[tuple[bytes, bytes]]) -> Mapping[int, str]:
        sent.extend(lines)
        return refusals or {}

    result = replay_letters(found, send, Progress(disable=True), len(found), NOW)
    return result.line(), result.reasons, sent


def text_of(found: list[KeptLetter], limit: int = 50) -> str:
    console = Console(width=300, record=True, quiet=True)
    table, _, _ = table_of(found, limit)
    with console.capture() as capture:
        console.quiet = False
        console.print(table)
    return capture.get()


def test_table_shows_time_code_reason_place_and_the_start_of_the_line() -> None:
    """80 characters of the line, and nothing in it that steers a terminal."""
    shown = text_of(letters(b"\x1b[31m" + b"x" * 200))
    assert "2026-08-13T12:00:00Z value_out_of_range too many usage/0/0/0" in " ".join(shown.split())
    assert "\N{REPLACEMENT CHARACTER}[31m" + "x" * 75 in shown
    assert "x" * 76 not in shown
    assert "\x1b" not in shown


def test_table_with_a_limit_shows_the_newest() -> None:
    """The last ones tell what is wrong now."""
    _, shown, count = table_of(found := letters(b"{1", b"{2", b"{3"), 2)
    assert (shown, count) == (2, 3)
    assert "{1" not in text_of(found, 2)
    assert "{3" in text_of(found, 2)


def test_with_code_filters_and_gives_a_letter_kept_twice_once() -> None:
    """A crash before the acknowledgement keeps the same letter twice; equal lines at two places are two."""
    found = letters(b"{1") + letters(b"{1") + letters(b"{1", offset=7) + letters(b"{2", code="other", offset=9)
    assert [letter.record.offset for letter in with_code(found, None)] == [0, 7, 9]
    assert [letter.record.offset for letter in with_code(found, "other")] == [9]


def test_replay_sends_each_different_event_once_with_its_key() -> None:
    """A line that came back as a dead letter again is not sent twice."""
    closing, reasons, sent = replayed(letters(line("t1"), line("t2", subscription="s2"), line("t1")))
    assert sent == [(b"org/sub-1", line("t1")), (b"org/s2", line("t2", subscription="s2"))]
    assert (closing, reasons) == ("replayed 2, skipped 0", [])


@pytest.mark.parametrize(
    "original",
    [b"{not json", b"\xff\x00", b'{"organization_id":"","transaction_id":"t","code":"c","timestamp":"1"}', b""],
)
def test_replay_line_that_is_no_event_is_skipped_with_its_place(original: bytes) -> None:
    """Nobody knows whose it is; the others are sent."""
    closing, reasons, sent = replayed(letters(original, line("t1")))
    assert closing == "replayed 1, skipped 1"
    assert [key for key, _ in sent] == [b"org/sub-1"]
    assert reasons[0].startswith("usage/0/0/0: ")


def test_replay_record_that_is_no_dead_letter_is_skipped() -> None:
    """Whoever wrote it into the topic, it is listed and stops nothing."""
    found = list(letters_of_topic([Kept(b"hello")]))
    assert "unreadable_dead_letter" in text_of(found)
    assert replayed(found)[0] == "replayed 0, skipped 1"


def test_replay_refused_lines_are_skipped_with_the_reason() -> None:
    """What the receiver does not take is not called replayed."""
    closing, reasons, _ = replayed(letters(line("t1"), line("t2")), {1: "invalid"})
    assert (closing, reasons) == ("replayed 1, skipped 1", ["usage/0/1/0: invalid"])


def test_api_sender_posts_own_events_with_exact_properties() -> None:
    """Another organization's event is refused, and a rejected one has the server's reason."""
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/organizations":
            return httpx.Response(200, json={"organization": {"lago_id": "org"}})
        bodies.append(request.content)
        rejected = {"status": "rejected", "error_details": {"timestamp": ["invalid_format"]}}
        return httpx.Response(200, json={"events": [{"status": "accepted"}, rejected]})

    with httpx.Client(base_url="http://millrace", transport=httpx.MockTransport(answer)) as client:
        refused = ApiSender(client).send(
            [(b"", line("t1", subscription="")), (b"", line("t2", "other")), (b"", line("t3"))]
        )
    assert refused == {
        1: "it belongs to another organization than the API key",
        2: "timestamp invalid_format",
    }
    assert bodies == [
        b'{"events":[{"transaction_id":"t1","code":"c","timestamp":"1786622400","properties":{"n":1.50}},'
        b'{"transaction_id":"t3","code":"c","timestamp":"1786622400","properties":{"n":1.50},'
        b'"external_subscription_id":"sub-1"}]}'
    ]


def test_letters_of_clickhouse_that_refuses_is_transient() -> None:
    """A wrong password is said, not shown as no letters."""
    transport = httpx.MockTransport(lambda _: httpx.Response(403, text="Authentication failed"))
    with httpx.Client(transport=transport) as client, pytest.raises(TransientError, match="Authentication failed"):
        letters_of_clickhouse("http://default:x@127.0.0.1:8123/millrace", client)
