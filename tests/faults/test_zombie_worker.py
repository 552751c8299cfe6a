"""A worker freezes, is thought dead, and wakes up with an insert in its hands: what it doubles is found."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from aggregator.clickhouse import ClickHouse, connect_server
from tests.end_to_end import story
from tests.end_to_end.conftest import CLOCK_START, cluster_on
from tests.end_to_end.outages.ledger import Feed, Ledger, open_ledger
from tests.faults.oracle import Recount, read_shown, read_stored
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.faults.stream import INSERT_OF_EVENTS, through
from tests.services.millrace import ClusterInstance, MillraceProcess
from tests.services.proxy import TcpProxy

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

HELD_SECONDS_MAX = 30
NEVER_SECONDS = 86_400
"""No look on its own: the scenario says when duplicates are looked for."""


@dataclass(frozen=True)
class Haunted:
    """A cluster without a worker, and the proxy through which one of them will reach ClickHouse."""

    cluster: ClusterInstance
    proxy: TcpProxy
    clickhouse: ClickHouse
    session_seconds: float

    @property
    def clickhouse_url(self) -> str:
        return str(self.cluster.shared["clickhouse_url"])

    def add_worker(self, *, through_proxy: bool = False, wait: bool = True) -> MillraceProcess:
        url = through(self.proxy, self.clickhouse_url) if through_proxy else self.clickhouse_url
        return self.cluster.add_worker(wait=wait, clickhouse_url=url)

    def now(self) -> datetime:
        """What the test clock says."""
        answer = story.unwrap(self.cluster.api.get("test_clock"), "test_clock")
        return datetime.fromisoformat(answer["now"])

    def repaired(self) -> int:
        """Rows the invoicer has removed because their event was stored before."""
        return int(metric(self.cluster, "millrace_reconcile_repaired_total"))

    def doubled(self, name: str) -> int:
        """Rows of a subscription beyond the first of their event, now."""
        sql = "SELECT count() - uniqExact(event_id) FROM events WHERE external_subscription_id = {name:String}"
        return int(self.clickhouse.rows(sql, {"name": name})[0][0])


@pytest.fixture(scope="module")
def haunted(request: pytest.FixtureRequest, session_seconds: float) -> Iterator[Haunted]:
    """The cluster of this module; every scenario leaves it without workers."""
    with ExitStack() as stack:
        cluster = stack.enter_context(
            cluster_on(
                request,
                workers=0,
                test_clock=CLOCK_START,
                reconcile_seconds=NEVER_SECONDS,
                aggregator_session_seconds=session_seconds,
                flush_seconds_max=0.1,
            )
        )
        url = str(cluster.shared["clickhouse_url"])
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        proxy = stack.enter_context(TcpProxy(address.hostname, address.port))
        clickhouse = connect_server(url)
        stack.callback(clickhouse.close)
        yield Haunted(cluster, proxy, clickhouse, session_seconds)


@pytest.fixture
def ledger(haunted: Haunted, fault_round: FaultRound) -> Iterator[Ledger]:
    """The books of one subscription."""
    name = f"haunted-{fault_round.random.randrange(16**8):08x}-{haunted.now():%Y%m%d}"
    yield open_ledger(haunted.cluster, name, haunted.now())
    haunted.proxy.release()
    while haunted.cluster.workers:
        worker = haunted.cluster.workers.pop()
        worker.process.resume()
        worker.stop()


@pytest.mark.faults(rounds_max=10)
def test_zombie_inserts_what_its_heir_counted_and_is_billed_once(
    haunted: Haunted, ledger: Ledger, fault_round: FaultRound, scenario: Scenario
) -> None:
    """The worst case, forced: its insert hangs, its partitions are taken and counted, then the insert lands.

    The duplicates are really there; the reconciler removes them, since billing asks for a proof or, in every other
    round, on demand; the invoice is over what was sent.
    """
    zombie = haunted.add_worker(through_proxy=True)
    ledger.send_new(2)
    ledger.wait_until_counted()
    haunted.proxy.hold(INSERT_OF_EVENTS, fault_round.random.uniform(0.1, 0.999))
    ledger.send_new()
    assert haunted.proxy.wait_until_held(HELD_SECONDS_MAX)
    zombie.process.pause()
    scenario.inject()
    ledger.send_new(3)  # so that its heir counts the same rows in another cut: ClickHouse knows the same cut again
    haunted.add_worker()
    ledger.wait_until_counted()
    assert haunted.doubled(ledger.name) == 0

    repaired_before = haunted.repaired()
    haunted.proxy.release()
    story.wait_for(lambda: haunted.doubled(ledger.name) > 0, "an event that is stored twice")
    assert haunted.doubled(ledger.name) >= ledger.batch_events, "the fault did not do what it is here for"
    wake(zombie)
    doubled = haunted.doubled(ledger.name)  # it may have inserted more, until it heard that it is out
    ledger.send_new(2)
    ledger.resend()
    if fault_round.number % 2 == 1:
        assert check_everything(haunted.cluster)["duplicates_found"] == doubled
        assert haunted.doubled(ledger.name) == 0
    close_period(haunted, ledger)
    assert haunted.repaired() - repaired_before == doubled
    assert_billed_once(haunted, ledger, scenario)


@pytest.mark.faults(rounds_max=6)
def test_worker_frozen_at_a_random_moment_is_billed_once(
    haunted: Haunted, ledger: Ledger, fault_round: FaultRound, scenario: Scenario
) -> None:
    """One of two workers freezes for longer than its session under load; the other one goes on meanwhile."""
    random = fault_round.random
    workers = [haunted.add_worker(wait=False), haunted.add_worker()]
    with Feed(ledger, pause_seconds=0.02):
        time.sleep(random.uniform(0, 1))
        frozen = random.choice(workers)
        frozen.wait_until_healthy()
        frozen.process.pause()
        scenario.inject()
        time.sleep(haunted.session_seconds * random.uniform(1.2, 2))
        wake(frozen)
    ledger.resend(random.sample(range(len(ledger.sent)), k=len(ledger.sent) // 4))
    close_period(haunted, ledger)
    assert_billed_once(haunted, ledger, scenario)


def wake(worker: MillraceProcess) -> None:
    """Let a frozen worker go on, and wait until it was told that it is out and has joined again."""
    known = assignments(worker)
    worker.process.resume()
    story.wait_for(lambda: assignments(worker) > known, "the worker's return to its group")


def assignments(worker: MillraceProcess) -> int:
    """How often the worker was given partitions, by its log."""
    return worker.process.log.read_text(errors="replace").count("partitions assigned")


def check_everything(cluster: ClusterInstance) -> story.Json:
    """Ask for a check of everything; what it found."""
    found: story.Json = story.unwrap(cluster.api.post("reconciliation"), "reconciliation")["last_full"]
    return found


def close_period(haunted: Haunted, ledger: Ledger) -> None:
    """Move the clock behind the period's end, as often as billing says that it waits."""
    assert ledger.unacknowledged == []
    target = (haunted.now().replace(day=1) + timedelta(days=32)).replace(day=1, hour=6)
    body = {"test_clock": {"now": f"{target:%Y-%m-%dT%H:%M:%SZ}"}}

    def moved() -> bool:
        answer = haunted.cluster.api.put("test_clock", json=body, timeout=120)
        assert answer.status_code in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE), answer.text
        return answer.status_code == httpx.codes.OK

    story.wait_for(moved, f"the clock at {target}")


def assert_billed_once(haunted: Haunted, ledger: Ledger, scenario: Scenario) -> None:
    """Rows, projection and invoice say what the books say; a second check finds nothing."""
    for _ in range(2):
        found = check_everything(haunted.cluster)
    assert (found["duplicates_found"], found["difference"]) == (0, 0)
    assert metric(haunted.cluster, "millrace_reconcile_difference") == 0
    recount = Recount(ledger.units_by_identity(), read_stored(haunted.clickhouse, [ledger.name]), "n")
    recount.assert_exact(scenario, duplicates_sent=ledger.events_sent - ledger.events)
    assert read_shown(haunted.clickhouse, [ledger.name]) == recount.totals()
    [invoice] = story.invoices_of(haunted.cluster, ledger.name)
    [fee] = [fee for fee in invoice["fees"] if fee["item"]["type"] == "charge"]
    assert (invoice["status"], fee["events_count"]) == ("finalized", ledger.events)
    assert invoice["total_amount_cents"] == ledger.amount_cents()


def metric(cluster: ClusterInstance, name: str) -> float:
    """A number that the invoicer shows to Prometheus."""
    text = httpx.get(f"{cluster.api_url}/metrics", timeout=10).text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{name} is not shown"
    return float(found[1])
