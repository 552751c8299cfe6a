"""Subscriptions that are due, with usage that is counted; what their invoices must say; and what they say."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, joinedload

from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.event_store import EventStore
from invoicer.billing.subscription_creation import create_subscription
from invoicer.billing.subscription_input import SubscriptionInput
from invoicer.catalog.bootstrap import ensure_organization
from invoicer.db import BillingPeriod, Invoice, Organization
from invoicer.db.migrate import upgrade
from invoicer.db.session import open_engine, session_factory, transaction
from schemas.settings import Settings
from schemas.topics import topics
from tests.aggregator.stream import Stream, at
from tests.end_to_end import story
from tests.end_to_end.outages.ledger import PRICE, UNITS
from tests.end_to_end.outages.site import OutageSite
from tests.faults.scenario import Scenario
from tests.invoicer.billing.make_catalog import Catalog
from tests.invoicer.fakes import FakeUsage
from tests.services.kafka_admin import topic_creator
from tests.services.millrace import API_KEY

CODE = "calls"
STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)
USED_AT = "2026-01-20T00:00:00Z"
DUE_AT = "2026-02-01T00:00:00Z"
PLAN_CENTS = 12_000
EVENTS_EACH = 3
SUBSCRIPTIONS_EACH = 4
_WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND relation = 'subscriptions'::regclass"


def external_ids(count: int) -> list[str]:
    """The external ids of so many subscriptions."""
    return [f"due-{number}" for number in range(count)]


def units_of(number: int) -> list[str]:
    """What the events of the subscription with that number are worth."""
    return [UNITS[(number + event) % len(UNITS)] for event in range(EVENTS_EACH)]


def expected_cents(count: int) -> dict[str, int]:
    """The total of every subscription's invoice, added up in Python: the plan, and usage rounded once."""
    usage = [sum(map(Decimal, units_of(number)), Decimal()) * Decimal(PRICE) * 100 for number in range(count)]
    return {
        external_id: PLAN_CENTS + int(cents.quantize(Decimal(1), ROUND_HALF_UP))
        for external_id, cents in zip(external_ids(count), usage, strict=True)
    }


@dataclass(frozen=True)
class DueSite:
    """The stores of an installation in which `count` subscriptions are due, and the settings of its invoicers."""

    database_url: str
    settings: dict[str, object]
    count: int
    folder: Path

    def invoices_written(self) -> int:
        """Committed invoices."""
        with read(self.database_url) as session:
            return session.scalar(select(func.count()).select_from(Invoice)) or 0

    def invoices(self) -> list[Invoice]:
        """Every invoice, with its periods."""
        with read(self.database_url) as session:
            wanted = select(Invoice).options(
                joinedload(Invoice.billing_periods).joinedload(BillingPeriod.subscription)
            )
            return list(session.scalars(wanted).unique())

    @contextmanager
    def nobody_bills(self, waiting: int) -> Iterator[None]:
        """Let nobody read what is due; entered once so many wait for it, who then all begin when it is left."""
        engine = open_engine(self.database_url)
        try:
            with engine.begin() as connection:
                connection.execute(text("LOCK TABLE subscriptions IN ACCESS EXCLUSIVE MODE"))
                story.wait_for(lambda: connection.scalar(text(_WAITING)) >= waiting, "invoicers at work")
                yield
        finally:
            engine.dispose()

    def assert_billed_once(self, scenario: Scenario) -> None:
        """One invoice each, over exactly what was used; no gap in the numbers of organization and customers."""
        invoices = self.invoices()
        billed = [(period.subscription.external_id, each) for each in invoices for period in each.billing_periods]
        copies, expected = Counter(name for name, _ in billed), Counter(external_ids(self.count))
        missing, surplus = expected - copies, copies - expected
        scenario.judge(invoices=self.count, lost=missing.total(), doubled=surplus.total())
        assert copies == expected
        assert {name: each.total_amount_cents for name, each in billed} == expected_cents(self.count)
        assert {each.status for each in invoices} == {"finalized"}
        assert gapless([each.organization_sequential_id for each in invoices])
        by_customer: dict[UUID, list[int | None]] = {}
        for each in invoices:
            by_customer.setdefault(each.customer_id, []).append(each.sequential_id)
        assert all(map(gapless, by_customer.values())), by_customer
        assert len({each.number for each in invoices}) == self.count


def gapless(numbers: Sequence[int | None]) -> bool:
    """Whether these are 1, 2, 3 … in some order."""
    return sorted(number or 0 for number in numbers) == list(range(1, len(numbers) + 1))


@contextmanager
def read(database_url: str) -> Iterator[Session]:
    """A session that only reads."""
    engine = open_engine(database_url)
    try:
        with transaction(session_factory(engine), reads_only=True) as session:
            yield session
    finally:
        engine.dispose()


def make_due_site(site: OutageSite, name: str, count: int, folder: Path) -> DueSite:
    """A database, a ClickHouse database and an empty topic of its own, on the services of `site`."""
    database_url = site.postgres.create_database(name)
    clickhouse_url = f"{site.clickhouse.url}/{name}"
    wanted = topics(name, f"{name}.dead", 1)
    topic_creator(site.kafka.bootstrap_servers).create_missing(wanted, replication_factor=1)
    organization_id = enter_catalog(database_url, count)
    clickhouse = connect_server(clickhouse_url)
    count_usage(clickhouse, organization_id, count, folder)
    clickhouse.close()
    settings: dict[str, object] = {
        "database_url": database_url,
        "clickhouse_url": clickhouse_url,
        "kafka_bootstrap_servers": site.kafka.bootstrap_servers,
        "usage_events_topic": name,
        "dead_letter_topic": f"{name}.dead",
        "aggregator_group": f"{name}-group",
        "api_key": API_KEY,
        "test_clock": DUE_AT,
        "scheduler_seconds": 0.1,
    }
    return DueSite(database_url, settings, count, folder)


def enter_catalog(database_url: str, count: int) -> UUID:
    """Customers with four subscriptions, each on an invoice of its own; returns the organization's id."""
    engine = open_engine(database_url)
    upgrade(engine)
    with transaction(session_factory(engine)) as session:
        first = Settings.model_validate({"organization_name": "Millrace"})
        organization = ensure_organization(session, first, STARTED_AT, API_KEY)
        organization.document_numbering = "per_organization"
        catalog = Catalog(session, organization, STARTED_AT)
        catalog.charge(
            catalog.plan(amount_cents=PLAN_CENTS), catalog.metric(CODE, "sum_agg"), properties={"amount": PRICE}
        )
        for number, external_id in enumerate(external_ids(count)):
            subscribe(session, organization, external_id, f"customer-{number // SUBSCRIPTIONS_EACH}")
        organization_id = organization.id
    engine.dispose()
    return organization_id


def subscribe(session: Session, organization: Organization, external_id: str, customer: str) -> None:
    wanted = SubscriptionInput(
        external_customer_id=customer,
        external_id=external_id,
        plan_code="team",
        subscription_at=STARTED_AT.isoformat(),
        consolidate_invoice=False,
    )
    create_subscription(session, FakeUsage(), organization, wanted, STARTED_AT)


def count_usage(clickhouse: ClickHouse, organization_id: UUID, count: int, folder: Path) -> None:
    """Count the events of all subscriptions through the aggregator's own pipeline."""
    create_tables(clickhouse, durable=False)
    stream = Stream(EventStore(clickhouse), folder / "index", organization_id=str(organization_id))
    stream.metric(code=CODE, field_name="value")
    stream.count(
        *(
            stream.event(
                f"{number}-{event}",
                None,
                code=CODE,
                subscription=external_id,
                timestamp_us=at(USED_AT),
                ingested_at_us=at(USED_AT),
                properties={"value": units},
            )
            for number, external_id in enumerate(external_ids(count))
            for event, units in enumerate(units_of(number))
        )
    )
    stream.close()


def events_of(count: int) -> list[story.Json]:
    """The same events as a client sends them."""
    timestamp = int(datetime.fromisoformat(USED_AT).timestamp())
    return [
        story.event(external_id, CODE, f"{number}-{event}", {"value": units}, timestamp=timestamp)
        for number, external_id in enumerate(external_ids(count))
        for event, units in enumerate(units_of(number))
    ]
