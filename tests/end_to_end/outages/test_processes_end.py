"""Processes are asked to end in the middle of their work, or started twice on the same data."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Feed, Ledger, open_ledger
from tests.end_to_end.outages.site import OutageSite
from tests.services.millrace import API_KEY, ROOT, EmbeddedInstance, millrace_environ
from tests.services.ports import LOOPBACK, free_port, free_ports

CLOCK_START = "2023-11-16T00:00:00Z"
END_SECONDS_MAX = 20
GRACE_SECONDS = 10
"""What `docker stop` and compose wait before they kill."""
SECONDS_UNTIL_READ = 0.5
SENDERS = 4


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedInstance:
    """An instance of the test's own, not started."""
    return EmbeddedInstance(tmp_path / "data", test_clock=CLOCK_START)


@pytest.mark.faults
def test_sigterm_under_load_ends_in_time_and_keeps_what_was_acknowledged(embedded: EmbeddedInstance) -> None:
    """Several clients send, one never finishes its request: the end is clean, every 200 is there afterwards."""
    with embedded:
        now = datetime.fromisoformat(CLOCK_START)
        ledgers = [open_ledger(embedded, f"load-{number}", now) for number in range(SENDERS)]
        with half_a_request(embedded.api_url, "events"):
            seconds = end_under_load(embedded, ledgers)
        assert embedded.server.process.returncode == 0, embedded.server.process.log_tail()
        assert seconds < END_SECONDS_MAX
        embedded.server.start()
        for ledger in ledgers:
            assert ledger.counted() >= ledger.recount(ledger.acknowledged), "an acknowledged event was lost"
            ledger.resend()
            assert ledger.unacknowledged == []
            assert ledger.counted() == ledger.recount()


def test_second_process_on_the_same_data_says_so_and_ends(embedded: EmbeddedInstance) -> None:
    """Whatever its ports: exit code 1 and a sentence; the first one is not disturbed."""
    with embedded:
        port, clickhouse_port = free_ports(2)
        settings: dict[str, object] = {
            "port": port,
            "clickhouse_http_port": clickhouse_port,
            "data_dir": embedded.data_dir,
            "api_key": API_KEY,
        }
        assert f"another Millrace works in {embedded.data_dir}" in _refused_start(settings)
        assert httpx.get(f"{embedded.api_url}/health", timeout=10).status_code == httpx.codes.OK


@pytest.mark.parametrize("setting", ["port", "clickhouse_http_port"])
def test_process_on_a_taken_port_says_so_and_ends(tmp_path: Path, setting: str) -> None:
    """Exit code 1 and a sentence that names the port, no traceback."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken, free = holder.getsockname()[1], free_port()
        settings: dict[str, object] = {
            "port": free,
            "clickhouse_http_port": free_port(),
            "data_dir": tmp_path / "other",
        }
        assert f"cannot listen on 127.0.0.1:{taken}" in _refused_start(settings | {setting: taken})


def test_process_whose_data_directory_is_a_file_says_so_and_ends(tmp_path: Path) -> None:
    """Exit code 1 and a sentence that names it, no traceback."""
    taken = tmp_path / "data"
    taken.touch()
    settings: dict[str, object] = {"port": free_port(), "clickhouse_http_port": free_port(), "data_dir": taken}
    assert f"cannot keep data in {taken}: File exists" in _refused_start(settings)


def _refused_start(settings: dict[str, object]) -> str:
    """What an embedded process that must not start prints."""
    process = subprocess.run(
        [sys.executable, "-m", "invoicer.cli", "up"],
        env=millrace_environ(settings) | {"COLUMNS": "500"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stdout + process.stderr
    return process.stdout


@pytest.mark.cluster
@pytest.mark.faults
def test_cluster_processes_end_in_time_with_an_unfinished_request(site: OutageSite) -> None:
    """A client that never finishes holds neither ingest nor the invoicer, whose supervisor would kill them."""
    cluster = site.cluster
    ending = {cluster.ingest_process: cluster.ingest_url, cluster.invoicer_process: cluster.api_url}
    with ExitStack() as unfinished:
        for url in ending.values():
            unfinished.enter_context(half_a_request(url, "events" if url == cluster.ingest_url else "plans"))
        time.sleep(SECONDS_UNTIL_READ)
        for process in ending:
            os.kill(process.process.pid, signal.SIGTERM)
        ended = [process.process for process in ending]
        story.wait_for(
            lambda: not any(process.is_running for process in ended), "the end of both", seconds=GRACE_SECONDS
        )
        for process in ending:
            assert process.process.returncode == 0, process.process.log_tail()
    for process in ending:
        process.start()


def half_a_request(url: str, collection: str) -> socket.socket:
    """A connection whose request announces a body that never comes."""
    connection = socket.create_connection((LOOPBACK, int(url.rsplit(":", 1)[1])))
    head = (
        f"POST /api/v1/{collection} HTTP/1.1",
        "Host: millrace",
        f"Authorization: Bearer {API_KEY}",
        "Content-Type: application/json",
        "Content-Length: 99",
    )
    connection.sendall("\r\n".join((*head, "", "")).encode())
    return connection


def end_under_load(embedded: EmbeddedInstance, ledgers: list[Ledger]) -> float:
    """SIGTERM in the middle of the flow; how many seconds the process took to end."""
    with ExitStack() as feeds:
        for ledger in ledgers:
            feeds.enter_context(Feed(ledger, pause_seconds=0.0, until_gone=True))
        story.wait_for(lambda: all(len(each.acknowledged) >= 5 for each in ledgers), "acknowledged batches")
        process = embedded.server.process
        began_at = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        story.wait_for(lambda: not process.is_running, "the end of the process")
        return time.monotonic() - began_at
