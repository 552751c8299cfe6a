"""An event is its organization, its subscription and its transaction id: whatever else is sent, it counts once."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy.orm import Session

from invoicer.catalog.bootstrap import make_organization
from invoicer.catalog.snapshot import publish_catalog
from invoicer.db import ApiKey
from invoicer.db.session import open_engine, session_factory, transaction
from schemas.catalog import hash_api_key
from tests.end_to_end import story
from tests.end_to_end.outages.ledger import open_ledger
from tests.faults.books import assert_jobs_change_nothing, close_books
from tests.faults.installation import Installation
from tests.faults.installations import BOTH_MODES
from tests.faults.oracle import read_stored
from tests.faults.scenario import Scenario
from tests.faults.seeds import FaultRound
from tests.services.millrace import Instance

pytestmark = [pytest.mark.faults(one_of_its_variants=True), BOTH_MODES]

REPEATS = 1_000
CLIENTS = 64


@pytest.fixture
def name() -> str:
    """The name of a metric, a plan, a customer and a subscription of one test."""
    return f"identity-{uuid.uuid4().hex[:12]}"


@pytest.mark.faults(rounds_max=3, one_of_its_variants=True)
def test_one_id_sent_a_thousand_times_counts_once(
    installation: Installation, scenario: Scenario, fault_round: FaultRound, name: str
) -> None:
    """A batch that 64 clients send at the same time, and a thousand more requests one after the other."""
    ledger = open_ledger(installation.instance, name, installation.now())
    ledger.send_new()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: ledger.resend(), range(CLIENTS)))
    body = {"event": fault_round.random.choice(ledger.sent[0])}
    answers = [installation.instance.ingest.post("events", json=body) for _ in range(REPEATS)]
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    assert {answer.json()["event"]["duplicate"] for answer in answers} == {True}
    ledger.events_sent += REPEATS
    scenario.inject(CLIENTS + REPEATS)
    close_books(installation, scenario, ledger)


def test_one_id_with_another_content_counts_as_it_was_first(
    installation: Installation, scenario: Scenario, name: str
) -> None:
    """Another timestamp, none at all, other properties, another code: a repeat of what was accepted before."""
    ledger = open_ledger(installation.instance, name, installation.now())
    ledger.send_new()
    first = ledger.sent[0]
    changes: list[story.Json] = [
        {"timestamp": ledger.timestamp - 86_400},
        {"timestamp": f"{ledger.timestamp}.001"},
        {"properties": {"n": "999"}},
        {"properties": {}},
        {"code": "unheard-of"},
    ]
    repeats = [[event | change for event in first] for change in changes]
    repeats.append([{key: event[key] for key in event if key != "timestamp"} for event in first])
    for repeat in repeats:
        answers = story.send(installation.instance, repeat)
        assert {answer["duplicate"] for answer in answers} == {True}
        ledger.events_sent += len(repeat)
    scenario.inject(len(repeats))
    close_books(installation, scenario, ledger)


def test_one_id_of_two_subscriptions_and_two_organizations_counts_in_each(
    installation: Installation, scenario: Scenario, name: str
) -> None:
    """Same ids, same names: four events, each worth something else, and every owner sees his own."""
    mine, other = installation.instance, second_organization(installation)
    expected = {
        (mine, name): "1.0", (mine, f"{name}-b"): "20.0", (other, name): "300.0", (other, f"{name}-b"): "4000.0",
    }  # fmt: skip
    for instance in (mine, other):
        metric = story.sum_metric(instance, name, "n")
        story.plan(instance, name, [story.standard_charge(metric, "1")])
        for subscription in (name, f"{name}-b"):
            story.subscribe(instance, subscription, name, subscription)
    timestamp = int(installation.now().timestamp())
    for _ in range(3):
        for (instance, subscription), units in expected.items():
            sent = story.event(subscription, name, "same", {"n": units}, timestamp=timestamp)
            story.send(instance, [sent])
    for (instance, subscription), units in expected.items():
        story.wait_for_units(instance, subscription, subscription, {name: units})
    with installation.store() as store:
        rows = len(read_stored(store, (name, f"{name}-b")))
    scenario.judge(accepted=4, duplicates=8, lost=max(0, 4 - rows), doubled=max(0, rows - 4))
    assert rows == 4
    assert_jobs_change_nothing(installation)
    other.close()


def second_organization(installation: Installation) -> Instance:
    """Another tenant of the same installation, entered in the catalog, with a key of its own."""
    engine, key = open_engine(installation.database_url), uuid.uuid4().hex
    with transaction(session_factory(engine)) as session:
        add_organization(session, installation, key)
    engine.dispose()
    return Instance(installation.instance.api_url, installation.instance.ingest_url, key)


def add_organization(session: Session, installation: Installation, key: str) -> None:
    now = installation.now()
    organization = make_organization("Pied Piper", now)
    session.add(organization)
    session.flush()
    session.add(
        ApiKey(organization_id=organization.id, key_hash=hash_api_key(key), created_at=now, updated_at=now)
    )
    publish_catalog(session, now)
