"""A dashboard reads the embedded store over ClickHouse's HTTP interface."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.end_to_end import story
from tests.services.millrace import EmbeddedInstance


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedInstance]:
    """An instance with 30 events of one subscription, in two regions."""
    data_dir: Path = tmp_path_factory.mktemp("dashboards") / "data"
    with EmbeddedInstance(data_dir, test_clock="2023-11-16T00:00:00Z") as instance:
        metric = story.sum_metric(instance, "calls", "n", filters=[{"key": "region", "values": ["eu", "us"]}])
        story.plan(instance, "calls", [story.standard_charge(metric, "1")])
        story.subscribe(instance, "acme", "calls", "acme-calls")
        story.send(
            instance,
            [
                story.event(
                    "acme-calls",
                    "calls",
                    f"call-{number}",
                    {"n": "0.1", "region": "eu" if number % 3 else "us"},
                    timestamp=story.MORNING,
                )
                for number in range(30)
            ],
        )
        yield instance


@pytest.fixture
def dashboard(measured: EmbeddedInstance) -> Iterator[Client]:
    """The driver that dashboards use, with the account of the interface."""
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=measured.clickhouse_port,
        username="default",
        password=measured.clickhouse_password,
        database="millrace",
    )
    yield client
    client.close()


def test_daily_view_tells_usage_by_subscription_and_dimension(dashboard: Client) -> None:
    """Exact decimals, per day and region."""
    rows = dashboard.query(
        "SELECT toDate(day), dimensions['region'], events_count, units_sum FROM usage_daily "
        "WHERE external_subscription_id = {subscription:String} ORDER BY 2",
        parameters={"subscription": "acme-calls"},
    ).result_rows
    assert [(str(day), region, count, total) for day, region, count, total in rows] == [
        ("2023-11-16", "eu", 20, Decimal("2")),
        ("2023-11-16", "us", 10, Decimal("1")),
    ]


def test_curl_reads_the_hourly_view(measured: EmbeddedInstance) -> None:
    """A query in the body, an account, a format: nothing else is needed."""
    answer = httpx.post(
        f"http://127.0.0.1:{measured.clickhouse_port}/?database=millrace",
        auth=("default", measured.clickhouse_password),
        content="SELECT hour, sum(events_count) AS events FROM usage_hourly GROUP BY hour FORMAT JSONEachRow",
    )
    assert answer.json() == {"hour": "2023-11-16 06:00:00", "events": 30}


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE events", "TRUNCATE TABLE events", "SELECT * FROM file('/etc/passwd', 'LineAsString')"],
)
def test_dashboard_cannot_change_the_store_or_read_files(dashboard: Client, statement: str) -> None:
    """The interface is read-only unless it was started otherwise."""
    with pytest.raises(DatabaseError):
        dashboard.command(statement)
    assert dashboard.command("SELECT count() FROM events") == 30


def test_wrong_password_is_refused(measured: EmbeddedInstance) -> None:
    """Nothing is read without the account."""
    answer = httpx.get(f"http://127.0.0.1:{measured.clickhouse_port}/?query=SELECT+1", auth=("default", "wrong"))
    assert answer.status_code in (401, 403)
