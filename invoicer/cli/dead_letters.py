"""`millrace dead-letters`: look at the lines that could not be counted, and send them again."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Protocol

import httpx
import msgspec
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from invoicer.cli.replay import ReplayFailedError, no_answer, post_events, refusal, rejection_of
from schemas.dead_letters import DeadLetterRecord, decode_dead_letter
from schemas.errors import PoisonEvent, TransientError
from schemas.events import EventLine, decode_line
from schemas.partitioning import partition_key
from schemas.time_text import to_microseconds
from schemas.topics import MAX_RECORD_BYTES

SHOWN_CHARS = 80
SENT_AT_ONCE = 500
REPORTED_REASONS_MAX = 20
_QUERY = """
SELECT original, 'utf-8' AS original_encoding, topic, kafka_partition AS partition, kafka_offset AS offset,
    kafka_line AS line, code, reason, toUnixTimestamp64Milli(inserted_at) AS kept_at_ms
FROM dead_letters ORDER BY inserted_at, kafka_partition, kafka_offset, kafka_line FORMAT JSONEachRow
"""


SendLines = Callable[[Sequence[tuple[bytes, bytes]]], Mapping[int, str]]
"""Sends (record key, line) pairs, durable when it returns; the reason of each that is refused, by its index."""


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter and when it was kept."""

    record: DeadLetterRecord
    kept_at: datetime


class _Record(Protocol):
    @property
    def value(self) -> bytes: ...

    @property
    def timestamp_ms(self) -> int: ...


class _KeptRow(DeadLetterRecord, frozen=True, kw_only=True):
    kept_at_ms: int


@dataclass
class ReplayedLetters:
    """What became of the dead letters; every different line is sent once."""

    replayed: int = 0
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)

    def skip(self, letter: KeptLetter, reason: str) -> None:
        """Count a letter that is not sent, keeping the first reasons."""
        self.skipped += 1
        if len(self.reasons) < REPORTED_REASONS_MAX:
            self.reasons.append(f"{place_of(letter.record)}: {reason}")

    def line(self) -> str:
        """The closing line."""
        return f"replayed {self.replayed:,}, skipped {self.skipped:,}"


def letters_of_topic(records: Iterable[_Record]) -> Iterator[KeptLetter]:
    """The dead letters of a topic; a record that is none is shown as one, so that it is not missed."""
    for record in records:
        try:
            letter = decode_dead_letter(record.value)
        except ValueError as error:
            letter = DeadLetterRecord(
                original=record.value.decode(errors="replace"),
                original_encoding="unreadable",
                topic="",
                partition=0,
                offset=0,
                line=0,
                code="unreadable_dead_letter",
                reason=str(error),
            )
        yield KeptLetter(letter, _instant(record.timestamp_ms))


def letters_of_clickhouse(url: str, client: httpx.Client) -> list[KeptLetter]:
    """The dead letters of an embedded instance, read through its ClickHouse HTTP interface; oldest first.

    `url` is `http://user:password@host:port/database`. Raises: TransientError when it does not answer or refuses.
    """
    target = httpx.URL(url)
    database = target.path.strip("/") or "millrace"
    try:
        response = client.post(
            target.copy_with(path="/", query=None, username="", password=""),
            params={"database": database, "output_format_json_quote_64bit_integers": "0"},
            auth=(target.username or "default", target.password),
            content=_QUERY,
        )
    except httpx.TransportError as error:
        raise TransientError("clickhouse", f"{type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK:
        raise TransientError("clickhouse", f"{response.status_code} {response.text[:300]}")
    rows = (msgspec.json.decode(row, type=_KeptRow, strict=False) for row in response.content.splitlines() if row)
    return [KeptLetter(row, _instant(row.kept_at_ms)) for row in rows]


def with_code(letters: Iterable[KeptLetter], code: str | None) -> Iterator[KeptLetter]:
    """Those of a code, or all; a letter kept twice, as a crash can leave it, is given once."""
    seen: set[bytes] = set()
    for letter in letters:
        record = letter.record
        identity = _hash(f"{record.topic}/{record.partition}/{record.offset}/{record.line}/{record.original}")
        if code in (None, record.code) and identity not in seen:
            seen.add(identity)
            yield letter


def table_of(letters: Iterable[KeptLetter], limit: int) -> tuple[Table, int, int]:
    """The newest `limit` letters, oldest first; how many are shown, and how many there are."""
    table = Table("time", "code", "reason", "place", "original", box=None, pad_edge=False)
    newest: deque[KeptLetter] = deque(maxlen=limit)
    count = 0
    for letter in letters:
        newest.append(letter)
        count += 1
    for letter in newest:
        record = letter.record
        kept_at = letter.kept_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        cells = (kept_at, record.code, record.reason, place_of(record), record.original[:SHOWN_CHARS])
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    return table, len(newest), count


def place_of(record: DeadLetterRecord) -> str:
    """topic/partition/offset/line; without a broker the topic is `local`."""
    return f"{record.topic or 'local'}/{record.partition}/{record.offset}/{record.line}"


def replay_letters(
    letters: Iterable[KeptLetter],
    send: SendLines,
    progress: Progress,
    total: int,
    now: datetime,
) -> ReplayedLetters:
    """Hand the originals to `send` as (record key, line), `SENT_AT_ONCE` at a time; every different line once.

    Raises: TransientError of `send`; the replay may be run again then, as what was counted is not counted twice.
    """
    result, seen = ReplayedLetters(), set[bytes]()
    waiting: list[tuple[KeptLetter, bytes, bytes]] = []
    task = progress.add_task("dead letters", total=total)

    def flush() -> None:
        refusals = send([(key, line) for _, key, line in waiting])
        result.replayed += len(waiting) - len(refusals)
        for index, reason in refusals.items():
            result.skip(waiting[index][0], reason)
        waiting.clear()

    for letter in letters:
        progress.advance(task)
        try:
            key, line = _keyed_line(letter.record, now)
        except PoisonEvent as error:
            result.skip(letter, str(error))
            continue
        if (identity := blake2b(line, digest_size=16).digest()) in seen:
            continue
        seen.add(identity)
        waiting.append((letter, key, line))
        if len(waiting) == SENT_AT_ONCE:
            flush()
    if waiting:
        flush()
    progress.update(task, completed=total)
    return result


class ApiSender:
    """Sends lines as events to a running instance, as the organization of its API key."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._organization_id = _organization_id(client)

    def send(self, lines: Sequence[tuple[bytes, bytes]]) -> Mapping[int, str]:
        """See `SendLines`; a line of another organization is refused, since the key would make it its own.

        Raises: ReplayFailedError when the server stays away.
        """
        events = [msgspec.json.decode(line, type=EventLine) for _, line in lines]
        refused = {
            index: "it belongs to another organization than the API key"
            for index, event in enumerate(events)
            if event.organization_id != self._organization_id
        }
        own = [index for index in range(len(events)) if index not in refused]
        statuses = post_events(self._client, [_payload(events[index]) for index in own]) if own else []
        for index, status in zip(own, statuses, strict=True):
            if status["status"] == "rejected":
                refused[index] = rejection_of(status)
        return refused


def _organization_id(client: httpx.Client) -> str:
    try:
        response = client.get("/api/v1/organizations")
    except httpx.TransportError as error:
        raise ReplayFailedError(no_answer(client, error)) from error
    if response.status_code != httpx.codes.OK:
        raise ReplayFailedError(refusal(client, response))
    return str(response.json()["organization"]["lago_id"])


def _payload(event: EventLine) -> dict[str, object]:
    payload: dict[str, object] = {
        "transaction_id": event.transaction_id,
        "code": event.code,
        "timestamp": event.timestamp,
        "properties": event.properties,
    }
    if event.external_subscription_id:
        payload["external_subscription_id"] = event.external_subscription_id
    if event.precise_total_amount_cents is not None:
        payload["precise_total_amount_cents"] = event.precise_total_amount_cents
    return payload


def _keyed_line(record: DeadLetterRecord, now: datetime) -> tuple[bytes, bytes]:
    try:
        line = record.original_bytes
    except ValueError as error:
        raise PoisonEvent("undecodable_event", str(error)) from error
    if record.original_encoding == "unreadable" or len(line) > MAX_RECORD_BYTES:
        raise PoisonEvent(record.code, record.reason)
    event = decode_line(line, received_at_us=to_microseconds(now))
    return partition_key(event.organization_id, event.external_subscription_id), line


def _printable(text: str) -> str:
    """Without what could steer a terminal: anybody may have written the line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _hash(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _instant(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
