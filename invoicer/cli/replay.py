"""`millrace replay`: send the rows of a CSV file as events."""

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invoicer.cli.csv_events import CsvEvent, CsvMapping, UnreadableRowError, events_of_rows

REPORTED_REJECTIONS_MAX = 20
"""More lines than this hide the first ones, which are the ones that tell what is wrong."""
RUN_AGAIN = "Run it again: what was counted is not counted twice."
_WAITS_SECONDS = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0)
"""Before the second attempt, the third and so on: long enough for a restart."""
_AWAY = frozenset((429, 502, 503, 504))
"""Statuses of a server that is busy, or of a gateway whose server is away."""


class _Statuses(msgspec.Struct):
    events: list[dict[str, object]]


class ReplayFailedError(Exception):
    """The replay stopped; the message says why and that it may be run again."""


@dataclass
class ReplayResult:
    """What became of the rows."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    unreadable: int = 0
    """Those of `rejected` that were not sent."""
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)

    def reject(self, reason: str) -> None:
        """Count a row that was not taken, keeping the first reasons."""
        self.rejected += 1
        if len(self.reasons) < REPORTED_REJECTIONS_MAX:
            self.reasons.append(reason)

    def line(self) -> str:
        """The closing line."""
        rate = self.sent / self.seconds if self.seconds else 0.0
        return (
            f"sent {self.sent:,}, accepted {self.accepted:,}, duplicates {self.duplicates:,}, "
            f"rejected {self.rejected:,}, {rate:,.0f} events/s"
        )


@dataclass(frozen=True)
class ReplayTarget:
    """Where the events go, and how: `concurrency` requests of `batch_size` events at a time."""

    url: str
    api_key: str
    batch_size: int = 1_000
    concurrency: int = 4


def replay(path: Path, mapping: CsvMapping, target: ReplayTarget, console: Console) -> ReplayResult:
    """Send every row of `path`; safe to run again, since the transaction ids repeat.

    Raises: ReplayFailedError when a column is missing, the key is refused or the server stays away.
    """
    result = ReplayResult()
    started = time.monotonic()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file, progress_bar(console) as progress:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames, mapping, progress.console)
            _send_rows(events_of_rows(reader, mapping), target, result, progress, _count_rows(path))
    except (UnicodeDecodeError, csv.Error) as error:
        reason = f"{path} is not CSV in UTF-8: {error}"
        raise ReplayFailedError(f"{reason}. Mended, it may be sent again: no row counts twice.") from error
    result.seconds = time.monotonic() - started
    return result


def _check_header(path: Path, header: Sequence[str] | None, mapping: CsvMapping, console: Console) -> None:
    if not header:
        raise ReplayFailedError(f"{path} has no header line")
    if missing := mapping.missing_columns(header):
        raise ReplayFailedError(f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}")
    if mapping.subscription not in header:  # a misspelt column would send everything to nobody
        console.print(
            f"every row is of the subscription {mapping.subscription!r}: no column is called so", markup=False
        )


def _send_rows(
    rows: Iterator[CsvEvent | UnreadableRowError],
    target: ReplayTarget,
    result: ReplayResult,
    progress: Progress,
    total: int,
) -> None:
    task = progress.add_task("events", total=total)
    sender = _Sender(target, result, progress.console)
    with ThreadPoolExecutor(target.concurrency) as pool, sender:
        batches = _batches(rows, target.batch_size, result)
        while wave := list(islice(batches, target.concurrency)):
            for sent in pool.map(sender.send, wave):
                progress.advance(task, sent)
    progress.update(task, completed=result.sent + result.unreadable)


def progress_bar(console: Console) -> Progress:
    """A bar with what is done, what there is, and how long the rest takes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _count_rows(path: Path) -> int:
    with path.open("rb") as file:
        return max(sum(1 for line in file if line.strip()) - 1, 0)


def _batches(
    events: Iterator[CsvEvent | UnreadableRowError], size: int, result: ReplayResult
) -> Iterator[list[CsvEvent]]:
    batch: list[CsvEvent] = []
    for event in events:
        if isinstance(event, UnreadableRowError):
            result.unreadable += 1
            result.reject(str(event))
            continue
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class _Sender:
    """Posts batches of rows and counts what became of them."""

    def __init__(self, target: ReplayTarget, result: ReplayResult, console: Console) -> None:
        self._client = api_client(target.url, target.api_key)
        self._result = result
        self._console = console
        self._told = ""
        self._lock = Lock()

    def __enter__(self) -> "_Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, batch: list[CsvEvent]) -> int:
        """Post one batch; the number of events it held."""
        statuses = post_events(self._client, [event.payload for event in batch], self._tell)
        with self._lock:
            self._result.sent += len(batch)
            for event, status in zip(batch, statuses, strict=True):
                self._count(event, status)
        return len(batch)

    def _tell(self, reason: str) -> None:
        """Say once why nothing moves: every request of the wave meets the same."""
        with self._lock:
            if reason != self._told:
                self._told = reason
                self._console.print(f"{reason}; trying again …", style="yellow", markup=False)

    def _count(self, event: CsvEvent, status: dict[str, object]) -> None:
        match status["status"]:
            case "accepted":
                self._result.accepted += 1
            case "duplicate":
                self._result.duplicates += 1
            case _:
                self._result.reject(f"row {event.row_number}: {rejection_of(status)}")


def api_client(url: str, api_key: str) -> httpx.Client:
    """A client of the REST API; the caller closes it."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60.0)


def post_events(
    client: httpx.Client, payloads: Sequence[dict[str, object]], tell: Callable[[str], None] = lambda _reason: None
) -> list[dict[str, object]]:
    """Post a batch, again and again while the server is away; one status an event, in order.

    `tell` is told why the batch has to be sent again. Raises: ReplayFailedError when the server stays away or
    refuses the batch.
    """
    body, headers = msgspec.json.encode({"events": payloads}), {"Content-Type": "application/json"}
    reason = ""
    for wait in (*_WAITS_SECONDS, None):
        pause = wait
        try:
            response = client.post(
                "/api/v1/events/batch", params={"partial": "true"}, content=body, headers=headers
            )
        except httpx.TransportError as error:
            reason = no_answer(client, error)
        else:
            if response.status_code == httpx.codes.OK:
                return _statuses(client, response)
            reason = refusal(client, response)
            if response.status_code not in _AWAY:
                raise ReplayFailedError(reason)
            pause = wait and max(wait, _retry_after(response))
        if pause is not None:
            tell(reason)
            time.sleep(pause)
    raise ReplayFailedError(f"{reason}. {RUN_AGAIN}")


def no_answer(client: httpx.Client, error: httpx.TransportError) -> str:
    """What to say of a server that cannot be reached."""
    return f"{client.base_url} does not answer: {type(error).__name__}: {error}"


def refusal(client: httpx.Client, response: httpx.Response) -> str:
    """What to say of an answer that is none of Millrace's good ones."""
    if response.status_code == httpx.codes.UNAUTHORIZED:
        return f"{client.base_url} does not know this API key"
    return f"{client.base_url} answered {response.status_code}: {response.text[:300]}"


def rejection_of(status: Mapping[str, object]) -> str:
    """Why an event was not taken: `timestamp invalid_format`."""
    match status.get("error_details"):
        case dict() as details:
            return "; ".join(f"{field} {', '.join(map(str, codes))}" for field, codes in details.items())
        case other:
            return str(other)


def _statuses(client: httpx.Client, response: httpx.Response) -> list[dict[str, object]]:
    try:
        return msgspec.json.decode(response.content, type=_Statuses).events
    except msgspec.MsgspecError:
        raise ReplayFailedError(f"{client.base_url} is no Millrace: it answered {response.text[:100]!r}") from None


def _retry_after(response: httpx.Response) -> float:
    """Seconds; 0 when the answer says none, or a date as a gateway may."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
