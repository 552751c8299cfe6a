"""Ingest, its broker or its client goes away between receiving and answering: counted once, never zero times."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.outages.ledger import Feed, Ledger, assert_comes_back_later, open_ledger
from tests.end_to_end.outages.site import CLOCK_START, OutageSite
from tests.faults.books import accepted_by, close_books, insist
from tests.faults.dying_ingest import STEPS
from tests.faults.installation import Installation, embedded_installation
from tests.faults.installations import BOTH_MODES
from tests.faults.oracle import read_stored
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.services.millrace import EmbeddedInstance, Instance, MillraceProcess
from tests.services.ports import LOOPBACK, free_port
from tests.services.proxy import ProxyMode, TcpProxy

pytestmark = pytest.mark.faults

BATCHES_BEFORE_DEATH_MAX = 8
SENDERS = 4
CUTS_MAX = 5


@contextmanager
def dying_ingest(site: OutageSite, step: str, passings: int) -> Iterator[tuple[MillraceProcess, Instance]]:
    """One more ingest process beside the real one, which dies at a step; and a client of it."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    command = [sys.executable, "-m", "tests.faults.dying_ingest", step, str(passings)]
    log = site.cluster.folder / "dying-ingest.log"
    process = MillraceProcess(command, site.cluster.shared | {"port": port}, f"{url}/health", log)
    client = Instance(site.cluster.api_url, url)
    process.start()
    try:
        yield process, client
    finally:
        client.close()
        process.stop()


def kill_under_load(instance: EmbeddedInstance, ledgers: list[Ledger], *, batches: int) -> None:
    """SIGKILL while every ledger's client sends, when so many batches of all of them were acknowledged."""
    with ExitStack() as feeds:
        for ledger in ledgers:
            feeds.enter_context(Feed(ledger, pause_seconds=0.0, until_gone=True))
        story.wait_for(lambda: sum(len(each.acknowledged) for each in ledgers) >= batches, "acknowledgements")
        instance.server.kill()


@pytest.fixture
def books(site: OutageSite) -> Ledger:
    """The books of one client of the cluster."""
    return open_ledger(site.cluster, site.unused_name("ingest"), site.now())


@pytest.mark.cluster
@pytest.mark.faults(rounds_max=3)
def test_broker_away_after_the_id_was_seen_retry_counts_once(
    site: OutageSite, installed: Installation, books: Ledger, scenario: Scenario, fault_round: FaultRound
) -> None:
    """What was refused is not remembered as taken: the client's retry is no duplicate of nothing."""
    books.send_new(fault_round.random.randrange(1, 4))
    site.kafka_proxy.set_mode(ProxyMode.REFUSE)
    site.kafka_proxy.cut()
    scenario.inject()
    try:
        for answer in (*books.send_new(), *books.resend([books.unacknowledged[0]])):
            assert_comes_back_later(answer, "kafka")
    finally:
        site.kafka_proxy.set_mode(ProxyMode.PASS)
    insist(books)
    close_books(installed, scenario, books)


def _cut_after_request(site: OutageSite, send: Callable[[], list[httpx.Response]]) -> httpx.Response:
    """The answer to a request while whatever the broker is asked gets no answer."""
    site.kafka_proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST)
    try:
        [answer] = send()
    finally:
        site.kafka_proxy.set_mode(ProxyMode.PASS)
    return answer


def _records(installed: Installation) -> int:
    """How many records the broker has of events."""
    return sum(installed.offsets().ends().values())


@pytest.mark.cluster
@pytest.mark.faults(rounds_max=3)
def test_broker_keeps_an_event_and_cannot_say_so_retry_counts_once(
    site: OutageSite, installed: Installation, books: Ledger, scenario: Scenario
) -> None:
    """The acknowledgement is lost, the client is told to come back: counted though, and not again by its retry."""
    books.send_new()
    books.wait_until_counted()
    kept = _records(installed)
    send: Callable[[], list[httpx.Response]] = books.send_new
    for _ in range(CUTS_MAX):
        assert_comes_back_later(_cut_after_request(site, send), "kafka")
        if _records(installed) > kept:
            break
        # The cut came after another request, and the broker never got the event: the client tries again.
        send = partial(books.resend, books.unacknowledged)
    else:
        pytest.fail("every cut came after another request than the event's")
    scenario.inject()
    books.wait_until_counted()
    assert len(books.unacknowledged) == 1
    insist(books)
    close_books(installed, scenario, books)


@BOTH_MODES
@pytest.mark.faults(rounds_max=5, one_of_its_variants=True)
def test_answer_lost_after_acceptance_retry_counts_once(
    installation: Installation, scenario: Scenario, fault_round: FaultRound
) -> None:
    """The client hears nothing of some requests that were accepted, and sends them again."""
    random = fault_round.random
    name = f"unheard-{fault_round.number}-{random.randrange(10**9)}"
    with TcpProxy(LOOPBACK, int(installation.instance.ingest_url.rsplit(":", 1)[1])) as proxy:
        client = installation.through(proxy)
        ledger = open_ledger(client, name, installation.now())
        ledger.send_new(random.randrange(3))
        for _ in range(random.randrange(1, 6)):
            proxy.set_mode(ProxyMode.CUT_AFTER_REQUEST, answers_to_cut=1)
            with pytest.raises(httpx.TransportError):
                ledger.send_new()
            scenario.inject()
        unheard = ledger.unacknowledged
        answers = [answer for number in unheard for answer in ledger.resend([number])]
        assert all(event["duplicate"] for answer in answers for event in answer.json()["events"])
        insist(ledger)
    client.close()
    close_books(installation, scenario, replace(ledger, instance=installation.instance))


@pytest.mark.cluster
@pytest.mark.faults(rounds_max=10, one_of_its_variants=True)
@pytest.mark.parametrize("step", STEPS)
def test_ingest_killed_at_a_step_retry_counts_once(
    site: OutageSite,
    installed: Installation,
    books: Ledger,
    scenario: Scenario,
    fault_round: FaultRound,
    step: str,
) -> None:
    """SIGKILL before the broker has an event, while it gets it, and before the client hears of it."""
    passings = fault_round.random.randrange(1, BATCHES_BEFORE_DEATH_MAX)
    with dying_ingest(site, step, passings) as (dying, client):
        sender = replace(books, instance=client)
        with pytest.raises(httpx.TransportError):
            sender.send_new(passings + 1)
        story.wait_for(lambda: not dying.process.is_running, "the death of the process")
        assert dying.process.returncode == -signal.SIGKILL, dying.process.log_tail()
    scenario.inject()
    assert len(sender.unacknowledged) == 1
    survivor = replace(sender, instance=site.cluster)
    if step == "acknowledged":
        survivor.wait_until_counted()  # what the broker acknowledged is counted whether or not anybody retries
    insist(survivor)
    close_books(installed, scenario, survivor)


def test_embedded_process_killed_at_any_moment_keeps_what_it_acknowledged(
    tmp_path: Path, scenario: Scenario, fault_round: FaultRound
) -> None:
    """Clients send, the process dies at a random moment and comes back: every 200 is stored, once."""
    random = fault_round.random
    with EmbeddedInstance(tmp_path / "data", test_clock=CLOCK_START, clickhouse_http_writable=True) as instance:
        installation = embedded_installation(instance)
        ledgers = [open_ledger(instance, f"killed-{number}", installation.now()) for number in range(SENDERS)]
        kill_under_load(instance, ledgers, batches=random.randrange(4, 60))
        scenario.inject()
        instance.server.start()
        with installation.store() as store:
            stored = {row.identity for row in read_stored(store, [ledger.name for ledger in ledgers])}
        lost = accepted_by(ledgers).keys() - stored
        assert not lost, f"{len(lost)} acknowledged events are lost"
        for ledger in ledgers:
            insist(ledger)
            ledger.resend()
        close_books(installation, scenario, *ledgers)
