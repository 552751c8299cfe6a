"""`millrace replay`: send the rows of a CSV file as events."""

import csv
import time
from collections.abc import Iterator, Sequence
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
_ATTEMPTS_MAX = 8
_BACKOFF_SECONDS_MAX = 10.0


class ReplayFailedError(Exception):
    """The replay stopped; the message says why and that it may be run again."""


@dataclass
class ReplayResult:
    """What became of the rows."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
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
    with path.open(newline="", encoding="utf-8-sig") as file, progress_bar(console) as progress:
        reader = csv.DictReader(file)
        if missing := mapping.missing_columns(reader.fieldnames or []):
            raise ReplayFailedError(f"{path} has no column {', '.join(missing)}; it has {reader.fieldnames}")
        task = progress.add_task("events", total=_count_rows(path))
        sender = _Sender(target, result)
        with ThreadPoolExecutor(target.concurrency) as pool, sender:
            batches = _batches(events_of_rows(reader, mapping), target.batch_size, result)
            while wave := list(islice(batches, target.concurrency)):
                for sent in pool.map(sender.send, wave):
                    progress.advance(task, sent)
        progress.update(task, completed=result.sent + result.rejected)
    result.seconds = time.monotonic() - started
    return result


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

    def __init__(self, target: ReplayTarget, result: ReplayResult) -> None:
        self._client = api_client(target.url, target.api_key)
        self._result = result
        self._lock = Lock()

    def __enter__(self) -> "_Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(self, batch: list[CsvEvent]) -> int:
        """Post one batch; the number of events it held."""
        statuses = post_events(self._client, [event.payload for event in batch])
        with self._lock:
            self._result.sent += len(batch)
            for event, status in zip(batch, statuses, strict=True):
                self._count(event, status)
        return len(batch)

    def _count(self, event: CsvEvent, status: dict[str, object]) -> None:
        match status["status"]:
            case "accepted":
                self._result.accepted += 1
            case "duplicate":
                self._result.duplicates += 1
            case _:
                self._result.reject(f"row {event.row_number}: {status.get('error_details')}")


def api_client(url: str, api_key: str) -> httpx.Client:
    """A client of the REST API; the caller closes it."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60.0)


def post_events(client: httpx.Client, payloads: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Post a batch, again and again while the server is away; one status an event, in order.

    Raises: ReplayFailedError when the server stays away or refuses the batch.
    """
    body, headers = msgspec.json.encode({"events": payloads}), {"Content-Type": "application/json"}
    reason = ""
    for attempt in range(_ATTEMPTS_MAX):
        wait = min(0.2 * 2**attempt, _BACKOFF_SECONDS_MAX)
        try:
            response = client.post(
                "/api/v1/events/batch", params={"partial": "true"}, content=body, headers=headers
            )
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if response.status_code == httpx.codes.OK:
                statuses: list[dict[str, object]] = response.json()["events"]
                return statuses
            reason = f"{response.status_code} {response.text[:300]}"
            if response.status_code not in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS):
                break
            wait = max(wait, float(response.headers.get("Retry-After", 0)))
        time.sleep(wait)
    raise ReplayFailedError(f"the server answered: {reason}. Run it again: what was counted is not counted twice.")
