"""The migrations and the models say the same."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, select

from invoicer.catalog.bootstrap import make_organization
from invoicer.db import Base, Customer, Fee, Invoice, Plan, Subscription
from invoicer.db.migrate import alembic_config, upgrade
from invoicer.db.session import open_engine, session_factory, transaction


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite file."""
    engine = open_engine(f"sqlite:///{tmp_path}/catalog.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql(database_url: str) -> Iterator[Engine]:
    """An empty PostgreSQL database."""
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def check_models_and_migrations_agree(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        compared = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(compared, Base.metadata) == []
        assert set(Base.metadata.tables) <= set(inspect(connection).get_table_names())


def test_migrated_sqlite_database_agrees_with_the_models(sqlite: Engine) -> None:
    """Nothing is left to generate."""
    check_models_and_migrations_agree(sqlite)


@pytest.mark.cluster
def test_migrated_postgresql_database_agrees_with_the_models(postgresql: Engine) -> None:
    """Nothing is left to generate."""
    check_models_and_migrations_agree(postgresql)


def test_upgrade_to_credit_notes_keeps_invoices_and_their_fees(sqlite: Engine) -> None:
    """SQLite changes a table by copying it, and dropping the old one would take along what refers to it."""
    upgrade(sqlite)
    sessions = session_factory(sqlite)
    with transaction(sessions) as session:
        session.add(billed_fee())
    with sqlite.begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
    with sqlite.connect() as connection:
        assert "credit_notes" not in inspect(connection).get_table_names()

    upgrade(sqlite)

    with transaction(sessions, reads_only=True) as session:
        [fee] = session.scalars(select(Fee))
        assert fee.invoice is not None
        assert (fee.amount_cents, fee.invoice.total_offsetted_credit_note_amount_cents) == (12_000, 0)


def billed_fee() -> Fee:
    now = datetime(2026, 2, 1, tzinfo=UTC)
    stamps = {"created_at": now, "updated_at": now}
    organization = make_organization("Hooli", now)
    customer = Customer(organization=organization, external_id="acme", sequential_id=1, slug="HOO-001", **stamps)
    plan = Plan(
        organization_id=organization.id,
        name="Team",
        code="team",
        interval="monthly",
        amount_cents=12_000,
        amount_currency="USD",
        **stamps,
    )
    subscription = Subscription(
        organization_id=organization.id,
        customer=customer,
        plan=plan,
        external_id="acme-1",
        status="active",
        subscription_at=now,
        **stamps,
    )
    invoice = Invoice(
        organization_id=organization.id,
        customer=customer,
        status="finalized",
        currency="USD",
        timezone="UTC",
        billed_at=now,
        issuing_date=now.date(),
        payment_due_date=now.date(),
        net_payment_term=0,
        **stamps,
    )
    return Fee(
        organization_id=organization.id,
        invoice=invoice,
        subscription=subscription,
        fee_type="subscription",
        currency="USD",
        units=Decimal(1),
        amount_cents=12_000,
        precise_amount_cents=Decimal(12_000),
        unit_amount_cents=12_000,
        precise_unit_amount=Decimal(120),
        period_from=now,
        period_to=now,
        **stamps,
    )


def test_upgrade_when_repeated_changes_nothing(sqlite: Engine) -> None:
    """Every start of a process upgrades."""
    upgrade(sqlite)
    with sqlite.connect() as connection:
        before = inspect(connection).get_table_names()

    upgrade(sqlite)

    with sqlite.connect() as connection:
        assert inspect(connection).get_table_names() == before
