"""`millrace dead-letters` against a running embedded instance; the cluster's is with the worker's tests."""

import json
import subprocess
import sys
from pathlib import Path

import httpx

from tests.end_to_end import story
from tests.services.millrace import ROOT, EmbeddedInstance, millrace_environ
from tests.services.ports import LOOPBACK


def cli(instance: EmbeddedInstance, *arguments: str) -> list[str]:
    """The lines that `millrace dead-letters` prints."""
    clickhouse = f"http://default:{instance.clickhouse_password}@{LOOPBACK}:{instance.clickhouse_port}/millrace"
    command = [sys.executable, "-m", "invoicer.cli", "dead-letters", *arguments, "--clickhouse-url", clickhouse]
    environ = millrace_environ({"api_key": instance.api_key, "url": instance.ingest_url}) | {"COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def keep(instance: EmbeddedInstance, original: str, line: int) -> None:
    """Write a dead letter as the embedded stream does."""
    row = {"original": original, "kafka_offset": 2**40, "kafka_line": line, "code": "value_out_of_range"}
    response = httpx.post(
        f"http://{LOOPBACK}:{instance.clickhouse_port}/",
        params={"database": "millrace"},
        auth=("default", instance.clickhouse_password),
        content="INSERT INTO dead_letters (original, kafka_offset, kafka_line, code) FORMAT JSONEachRow "
        + json.dumps(row),
    )
    assert response.status_code == 200, response.text


def test_embedded_dead_letters_are_listed_and_replayed_once(tmp_path: Path) -> None:
    """A letter whose cause is gone counts once, replayed twice; what is no event is skipped."""
    with EmbeddedInstance(tmp_path / "data", clickhouse_http_writable=True) as instance:
        assert cli(instance, "list")[-1] == "0 dead letters"
        organization_id = instance.api.get("organizations").json()["organization"]["lago_id"]
        event = {
            "organization_id": organization_id, "external_subscription_id": "s", "transaction_id": "again",
            "code": "c", "timestamp": "1786622400.5", "properties": {"n": 1}, "ingested_at": "1786622401",
        }  # fmt: skip
        keep(instance, json.dumps(event), 0)
        keep(instance, "{not json", 1)
        listed = cli(instance, "list", "--code", "value_out_of_range")
        assert listed[-1] == "2 dead letters"
        assert f"local/0/{2**40}/0" in listed[1]
        for _ in range(2):
            assert cli(instance, "replay")[-1] == "replayed 1, skipped 1"
        story.wait_for(lambda: instance.api.get("events/again").status_code == 200, "the event in the list")
        found = instance.api.get("events", params={"external_subscription_id": "s"}).json()
        assert [each["transaction_id"] for each in found["events"]] == ["again"]
