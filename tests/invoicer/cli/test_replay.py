"""`millrace replay`: what it says of a file, of a server, and of rows that are not taken."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import typer
from rich.console import Console

from invoicer.cli.csv_events import CsvMapping
from invoicer.cli.http_address import http_address
from invoicer.cli.replay import ReplayFailedError, ReplayTarget, post_events, replay

MAPPING = CsvMapping(
    code="tokens",
    subscription="acme-pro",
    timestamp=None,
    properties=("count",),
    transaction_id=None,
    timezone=ZoneInfo("UTC"),
)
TEN_ROWS = "count\n" + "".join(f"{number}\n" for number in range(10))


class _TakesEvenCounts(BaseHTTPRequestHandler):
    """Accepts the events whose count is even, and refuses the others."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"events": [_verdict(event) for event in body["events"]]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature that http.server calls
        """Say nothing."""


def _verdict(event: dict[str, Any]) -> dict[str, Any]:
    if int(event["properties"]["count"]) % 2:
        return {"status": "rejected", "error_details": {"properties.count": ["value_is_invalid"]}}
    return {"status": "accepted"}


@contextmanager
def server() -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _TakesEvenCounts)
    thread = Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def replayed(path: Path, mapping: CsvMapping = MAPPING) -> tuple[str, list[str], str]:
    """The closing line without its rate, the reasons, and what was printed meanwhile."""
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    with server() as url:
        result = replay(path, mapping, ReplayTarget(url, "key", batch_size=4, concurrency=2), console)
    return result.line().rsplit(", ", 1)[0], result.reasons, screen.getvalue()


def answering(*answers: httpx.Response) -> httpx.Client:
    """A client of a server that gives these answers, one a request."""
    waiting = iter(answers)
    return httpx.Client(
        base_url="http://millrace:3000", transport=httpx.MockTransport(lambda _request: next(waiting))
    )


def file_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "usage.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_progress_with_rejected_rows_ends_at_the_number_of_rows(tmp_path: Path) -> None:
    """A row that the server refuses was sent, and is not counted again; one that cannot be read is done too."""
    line, _, printed = replayed(file_of(tmp_path, TEN_ROWS + "10,too many\n"))
    assert line == "sent 10, accepted 5, duplicates 0, rejected 6"
    assert "11/11" in printed


def test_rejected_row_is_told_with_its_field_and_code(tmp_path: Path) -> None:
    """Whoever mends the file sees what is wrong in the words of the API."""
    _, reasons, _ = replayed(file_of(tmp_path, "count\n2\n3\n"))
    assert reasons == ["row 2: properties.count value_is_invalid"]


@pytest.mark.parametrize(("subscription", "says_so"), [("acme-pro", True), ("count", False)])
def test_subscription_that_is_no_column_is_said(subscription: str, says_so: bool, tmp_path: Path) -> None:
    """A misspelt column would otherwise send every row to a subscription that nobody has."""
    mapping = CsvMapping("tokens", subscription, None, ("count",), None, ZoneInfo("UTC"))
    _, _, printed = replayed(file_of(tmp_path, TEN_ROWS), mapping)
    assert ("every row is of the subscription 'acme-pro'" in printed) is says_so


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no header line"),
        ("amount\n1\n", "has no column count; it has amount"),
        (b"\xff\xfeno text", "is not CSV in UTF-8"),
        (b"count\n1\n\x80\n", "is not CSV in UTF-8"),
    ],
)
def test_file_that_is_no_such_csv_is_told_in_a_sentence(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    """A spreadsheet given instead of its export ends with a sentence, not with a traceback."""
    with pytest.raises(ReplayFailedError, match=message):
        replayed(file_of(tmp_path, content))


def test_server_that_is_away_for_a_moment_is_asked_again_and_said() -> None:
    """A gateway's 502 is a restart behind it; the wait is not silent."""
    told: list[str] = []
    taken = {"events": [{"status": "accepted"}]}
    with answering(httpx.Response(502, text="Bad Gateway"), httpx.Response(200, json=taken)) as client:
        assert post_events(client, [{}], told.append) == taken["events"]
    assert told == ["http://millrace:3000 answered 502: Bad Gateway"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(401, json={"status": 401, "error": "Unauthorized"}), "does not know this API key$"),
        (httpx.Response(404, text="Not Found"), "answered 404: Not Found$"),
        (httpx.Response(200, text="<html>"), "is no Millrace: it answered '<html>'$"),
    ],
)
def test_answer_that_no_repeat_changes_ends_at_once(answer: httpx.Response, message: str) -> None:
    """Nobody is told to run it again when that cannot help; the server is asked once."""
    with answering(answer) as client, pytest.raises(ReplayFailedError, match=message):
        post_events(client, [{}])


@pytest.mark.parametrize("text", ["nonsense", "127.0.0.1:3000", "ftp://127.0.0.1", "http://", "http://host:port"])
def test_address_without_scheme_or_host_is_refused(text: str) -> None:
    """A retry would not mend it."""
    with pytest.raises(typer.BadParameter, match="is no http:// or https:// address"):
        http_address(text)
