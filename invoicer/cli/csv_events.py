"""Rows of a CSV file as events. Pure: text in, event payloads out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from zoneinfo import ZoneInfo

from schemas.time_text import format_epoch_seconds, parse_epoch_seconds, to_microseconds


class UnreadableRowError(ValueError):
    """A row that cannot become an event; the message says why."""


@dataclass(frozen=True)
class CsvMapping:
    """Which column becomes which part of the event.

    `subscription` is a column of the file, or else the external subscription id itself. Without
    `transaction_id` the id is derived from the row. `timezone` is the zone of timestamps that name none.
    """

    code: str
    subscription: str
    timestamp: str | None
    properties: tuple[str, ...]
    transaction_id: str | None
    timezone: ZoneInfo

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        """The named columns that the file does not have."""
        named = [self.timestamp, self.transaction_id, *self.properties]
        return [column for column in named if column is not None and column not in header]


@dataclass(frozen=True)
class CsvEvent:
    """An event payload and the row it comes from; rows count from 1, the header not included."""

    row_number: int
    payload: dict[str, object]


def events_of_rows(rows: Iterable[dict[str, str]], mapping: CsvMapping) -> Iterator[CsvEvent | UnreadableRowError]:
    """One event per row, in order; a row that cannot be read yields its error instead of ending the file.

    A derived transaction id is a hash of what the row says and of how many equal rows came before it: sending
    the file again, under another name or with rows added, repeats the same ids, so nothing is billed twice,
    while two equal rows of one file stay two events.
    """
    seen: Counter[str] = Counter()
    for number, row in enumerate(rows, start=1):
        try:
            payload = _payload(row, mapping)
        except UnreadableRowError as error:
            yield UnreadableRowError(f"row {number}: {error}")
            continue
        if mapping.transaction_id is None:
            content = _content_hash(payload)
            payload["transaction_id"] = f"csv-{content}-{seen[content]}"
            seen[content] += 1
        yield CsvEvent(number, payload)


def _payload(row: dict[str, str], mapping: CsvMapping) -> dict[str, object]:
    if None in row or None in row.values():
        raise UnreadableRowError("it has more or fewer fields than the header")
    payload: dict[str, object] = {
        "external_subscription_id": row.get(mapping.subscription, mapping.subscription),
        "code": mapping.code,
        "properties": {column: row[column] for column in mapping.properties},
    }
    if mapping.timestamp is not None:
        payload["timestamp"] = epoch_text(row[mapping.timestamp], mapping.timezone)
    if mapping.transaction_id is not None:
        payload["transaction_id"] = row[mapping.transaction_id]
    return payload


def epoch_text(text: str, timezone: ZoneInfo) -> str:
    """Seconds since the epoch of ISO-like text (`2023-11-16 18:17:03.9799600`) or of epoch seconds already.

    Bounds: digits past the microsecond are cut.
    Raises: UnreadableRowError when it is neither.
    """
    stripped = text.strip()
    if (micros := parse_epoch_seconds(stripped)) is not None:
        return format_epoch_seconds(micros)
    try:
        instant = datetime.fromisoformat(stripped)
    except ValueError:
        raise UnreadableRowError(f"{text[:40]!r} is no timestamp") from None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone)
    return format_epoch_seconds(to_microseconds(aware))


def _content_hash(payload: dict[str, object]) -> str:
    digest = blake2b(digest_size=12)
    for part in _flatten(payload):
        raw = part.encode()
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.hexdigest()


def _flatten(payload: dict[str, object]) -> Iterator[str]:
    for key in sorted(payload):
        value = payload[key]
        yield key
        if isinstance(value, dict):
            yield from _flatten(value)
        else:
            yield str(value)
