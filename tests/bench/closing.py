"""How fast periods are closed: many subscriptions with usage that fall due at one instant.

Each subscription is a customer's own, on a plan with an amount and two charges on a sum each, one of them
graduated; every fee is taxed. The events are counted by the real pipeline, and the invoices are made by the
invoicer's own jobs in this process, on PostgreSQL and a ClickHouse in processes of their own. What comes out is
checked against a sum made by hand.
`python -m tests.bench.closing --subscriptions 1000` prints the figures.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import logging
import pstats
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from aggregator.arrivals import ClickHouseArrivalReader
from aggregator.clickhouse import ClickHouse, connect_server, create_tables
from aggregator.evaluation import MetricLookup
from aggregator.event_log import ClickHouseEventReader
from aggregator.event_store import EventStore
from aggregator.index import DedupIndex
from aggregator.observability import AggregatorMetrics, ReconcilerMetrics
from aggregator.pipeline import Pipeline
from aggregator.reconciler import Reconciler
from aggregator.usage import ClickHouseUsageReader
from invoicer.__main__ import GARBAGE_THRESHOLDS
from invoicer.catalog.bootstrap import make_organization
from invoicer.catalog.snapshot import load_metric_definitions
from invoicer.context import Context
from invoicer.db import (
    Base,
    BillableMetric,
    Charge,
    Customer,
    Fee,
    Invoice,
    Organization,
    Plan,
    Subscription,
    Tax,
)
from invoicer.db.reconciling_turn import reconciling_turn
from invoicer.db.session import open_engine, session_factory, transaction
from invoicer.db.taxes import customer_taxes
from invoicer.jobs.due_jobs import DueJobs
from invoicer.jobs.job_metrics import JobMetrics
from schemas.catalog import CatalogCache, CatalogSnapshot
from schemas.clock import MovableClock
from schemas.events import Event, Position, PositionedEvent, make_event
from schemas.metrics import MetricDefinition
from schemas.settings import Settings
from schemas.time_text import to_microseconds
from tests.bench.processes import LOAD_GENERATOR, CpuWatch
from tests.services.clickhouse import EmbeddedClickHouse
from tests.services.postgres_source import postgres_server

PERIOD_START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = datetime(2026, 2, 1, tzinfo=UTC)
PLAN_CENTS = 4_900
TIERS = (
    {"from_value": 0, "to_value": 500, "per_unit_amount": "0.02", "flat_amount": "1"},
    {"from_value": 501, "to_value": None, "per_unit_amount": "0.01", "flat_amount": "0"},
)
CALL_UNITS = 3
EVENTS_PER_INSERT = 20_000
ROWS_PER_INSERT = 5_000
TENTHS = 10
RETENTION_DAYS = 45


class NothingPending:
    """Every event was counted before the measurement began."""

    def mark(self) -> Mapping[int, int]:
        """The stream's end."""
        return {0: 0}

    def has_passed(self, mark: Mapping[int, int]) -> bool:
        """Always."""
        return mark == {0: 0}


@dataclass(frozen=True)
class ClosingSite:
    """The stores of one run, empty at first."""

    context: Context
    clock: MovableClock
    engine: Engine
    clickhouse: ClickHouse
    directory: Path
    pids: Mapping[str, int]


@dataclass(frozen=True)
class ClosingFigures:
    """Rates in invoices a second of wall time; CPU in seconds of the whole run, by process."""

    invoices: int
    seconds: float
    per_second: float
    per_second_of_tenths: tuple[float, ...]
    cpu_seconds: Mapping[str, float]


@contextmanager
def open_closing_site() -> Iterator[ClosingSite]:
    """PostgreSQL and ClickHouse as processes of their own, a clock at the start of the period."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-closing-")))
        postgres = stack.enter_context(postgres_server())
        engine = open_engine(postgres.create_database("closing"))
        stack.callback(engine.dispose)
        Base.metadata.create_all(engine)
        server = stack.enter_context(EmbeddedClickHouse())
        clickhouse = connect_server(f"{server.url}/millrace")
        stack.callback(clickhouse.close)
        create_tables(clickhouse, durable=False)
        clock = MovableClock(PERIOD_START)
        pids = {"postgresql": postgres.process.pid, "clickhouse": server.process.pid}
        yield ClosingSite(_context(engine, clickhouse, clock), clock, engine, clickhouse, directory, pids)


def _context(engine: Engine, clickhouse: ClickHouse, clock: MovableClock) -> Context:
    sessions = session_factory(engine)
    return Context(
        sessions=sessions,
        clock=clock,
        usage=ClickHouseUsageReader(clickhouse),
        events=ClickHouseEventReader(clickhouse),
        stored=ClickHouseArrivalReader(clickhouse),
        gate=NothingPending(),
        auditor=Reconciler(
            clickhouse,
            ReconcilerMetrics(CollectorRegistry()),
            turn=reconciling_turn(sessions),
            lookback_seconds=3_600,
        ),
        settings=Settings(),
    )


def measure_closing(
    site: ClosingSite,
    *,
    subscriptions: int = 10_000,
    events_each: int = 5,
    numbering: str = "per_customer",
    profile: cProfile.Profile | None = None,
) -> ClosingFigures:
    """Fill an empty site, close its period, and check every invoice's sum.

    `events_each` are the events of each of a subscription's two metrics.
    """
    organization_id = fill_catalog(site, subscriptions, numbering)
    fill_events(site, organization_id, subscriptions, events_each)
    site.clock.move_to(PERIOD_END)
    collect_as_the_invoicer()
    registry = CollectorRegistry()
    progress = Progress(registry, subscriptions)
    jobs = DueJobs(site.context, JobMetrics(registry), progress.note)
    watch, started = CpuWatch(site.pids), time.perf_counter()
    if profile is not None:
        profile.enable()
    jobs.run(PERIOD_END)
    if profile is not None:
        profile.disable()
    seconds = time.perf_counter() - started
    spent = watch.spent()
    check_invoices(site, subscriptions, events_each)
    return ClosingFigures(
        invoices=subscriptions,
        seconds=seconds,
        per_second=subscriptions / seconds,
        per_second_of_tenths=progress.rates(started),
        cpu_seconds={"invoicer": spent.pop(LOAD_GENERATOR), **spent},
    )


def collect_as_the_invoicer() -> None:
    """Garbage is looked for as often as in `python -m invoicer`."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@dataclass
class Progress:
    """When how many steps were done."""

    registry: CollectorRegistry
    total: int
    points: list[tuple[float, float]] = field(default_factory=list)

    def note(self) -> bool:
        """Remember how far it is; never stops the run."""
        done = self.registry.get_sample_value("millrace_billing_steps_total") or 0.0
        if not self.points or self.points[-1][0] < done:
            self.points.append((done, time.perf_counter()))
        return True

    def rates(self, started: float) -> tuple[float, ...]:
        """Steps a second within each tenth of the run, between the points nearest behind its bounds."""
        bounds = [(0.0, started)]
        for tenth in range(1, TENTHS + 1):
            behind = [point for point in self.points if point[0] >= self.total * tenth / TENTHS]
            bounds.append(behind[0] if behind else self.points[-1])
        return tuple(
            (last[0] - first[0]) / (last[1] - first[1]) for first, last in pairwise(bounds) if last[0] > first[0]
        )


def fill_catalog(site: ClosingSite, subscriptions: int, numbering: str) -> uuid.UUID:
    """One organization, one plan, and a customer for each subscription; every tenth has taxes of its own."""
    with transaction(site.context.sessions) as session:
        organization = make_organization("Millrace", PERIOD_START)
        organization.document_numbering = numbering
        session.add(organization)
        session.flush()
        plan = _add_plan(session, organization)
        own_taxes = [
            _add(session, Tax, organization_id=organization.id, name=code, code=code, rate=Decimal(rate))
            for code, rate in (("state", "5.5"), ("city", "1.25"))
        ]
        _add(
            session,
            Tax,
            organization_id=organization.id,
            name="VAT",
            code="vat",
            rate=Decimal(20),
            applied_to_organization=True,
        )
        customers = [_customer(organization, number) for number in range(subscriptions)]
        _bulk_insert(session, Customer.__table__, customers)
        _bulk_insert(
            session,
            customer_taxes,
            [{"customer_id": each["id"], "tax_id": tax.id} for each in customers[::10] for tax in own_taxes],
        )
        _bulk_insert(
            session,
            Subscription.__table__,
            [_subscription(organization, plan, each["id"], number) for number, each in enumerate(customers)],
        )
        return organization.id


def _add_plan(session: Session, organization: Organization) -> Plan:
    plan: Plan = _add(
        session,
        Plan,
        organization_id=organization.id,
        name="Pro",
        code="pro",
        interval="monthly",
        amount_cents=PLAN_CENTS,
        amount_currency="USD",
    )
    models: Sequence[tuple[str, str, dict[str, Any]]] = (
        ("tokens", "graduated", {"graduated_ranges": list(TIERS)}),
        ("calls", "standard", {"amount": "0.1"}),
    )
    for position, (code, model, properties) in enumerate(models):
        metric = _add(
            session,
            BillableMetric,
            organization_id=organization.id,
            name=code,
            code=code,
            aggregation_type="sum_agg",
            field_name="units",
        )
        _add(
            session,
            Charge,
            organization_id=organization.id,
            plan=plan,
            billable_metric=metric,
            position=position,
            code=code,
            charge_model=model,
            properties=properties,
        )
    return plan


def _add(session: Session, model: Any, **values: Any) -> Any:
    row = model(id=uuid.uuid4(), created_at=PERIOD_START, updated_at=PERIOD_START, **values)
    session.add(row)
    session.flush()
    return row


def _customer(organization: Organization, number: int) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(),
        "organization_id": organization.id,
        "external_id": f"customer-{number}",
        "sequential_id": number + 1,
        "slug": f"{organization.document_number_prefix}-{number + 1:03d}",
        "created_at": PERIOD_START,
        "updated_at": PERIOD_START,
    }


def _subscription(organization: Organization, plan: Plan, customer_id: uuid.UUID, number: int) -> dict[str, Any]:
    return {
        "id": uuid.uuid4(),
        "organization_id": organization.id,
        "customer_id": customer_id,
        "plan_id": plan.id,
        "external_id": external_id(number),
        "status": "active",
        "subscription_at": PERIOD_START,
        "started_at": PERIOD_START,
        "activated_at": PERIOD_START,
        "billed_until": PERIOD_START,
        "due_at": PERIOD_END,
        "created_at": PERIOD_START,
        "updated_at": PERIOD_START,
    }


def _bulk_insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rows), ROWS_PER_INSERT):
        session.execute(insert(table), list(rows[start : start + ROWS_PER_INSERT]))


def external_id(number: int) -> str:
    """How the events name a subscription."""
    return f"subscription-{number:06d}"


def fill_events(site: ClosingSite, organization_id: uuid.UUID, subscriptions: int, events_each: int) -> None:
    """Count the events of every subscription, spread over the period, through the pipeline."""
    with transaction(site.context.sessions, reads_only=True) as session:
        metric_ids = session.scalars(select(BillableMetric.id)).all()
        definitions = load_metric_definitions(session, organization_id, metric_ids)
    index = DedupIndex(site.directory / "index", retention_days=RETENTION_DAYS)
    try:
        pipeline = Pipeline(
            EventStore(site.clickhouse),
            index,
            MetricLookup(_catalog(tuple(definitions.values())), refresh_seconds=60.0),
            AggregatorMetrics(CollectorRegistry()),
        )
        events = _events(str(organization_id), subscriptions, events_each)
        offset = 0
        while batch := list(islice(events, EVENTS_PER_INSERT)):
            pipeline.process([PositionedEvent(Position(0, offset, line), each) for line, each in enumerate(batch)])
            offset += 1
    finally:
        index.close()


def _catalog(metrics: tuple[MetricDefinition, ...]) -> CatalogCache:
    snapshot = CatalogSnapshot(version=1, metrics=metrics)
    return CatalogCache(lambda version: snapshot if version < snapshot.version else None)


def _events(organization_id: str, subscriptions: int, events_each: int) -> Iterator[Event]:
    """As a stream brings them: in the order of their time, the subscriptions mixed."""
    start_us, end_us = to_microseconds(PERIOD_START), to_microseconds(PERIOD_END)
    for turn in range(events_each):
        for number in range(subscriptions):
            at_us = start_us + (end_us - start_us) * (turn * subscriptions + number) // (
                events_each * subscriptions
            )
            for code, units in (("tokens", token_units(number)), ("calls", CALL_UNITS)):
                yield make_event(
                    organization_id=organization_id,
                    external_subscription_id=external_id(number),
                    transaction_id=f"{code}-{turn}",
                    code=code,
                    timestamp_us=at_us,
                    properties_json=b'{"units":%d}' % units,
                    precise_total_amount_cents=None,
                    ingested_at_us=at_us,
                )


def token_units(number: int) -> int:
    """What each token event of a subscription is worth."""
    return 90 + number % 41


def fees_cents(number: int, events_each: int) -> int:
    """What a subscription owes without taxes: the plan, graduated tokens and standard calls, in cents."""
    tokens = token_units(number) * events_each
    graduated = 100 + 2 * min(tokens, 500) + max(tokens - 500, 0)
    return PLAN_CENTS + graduated + 10 * CALL_UNITS * events_each


def check_invoices(site: ClosingSite, subscriptions: int, events_each: int) -> None:
    """Each subscription has one final invoice over the sum made by hand.

    Raises: AssertionError.
    """
    billed = (
        select(Subscription.external_id, func.count(Invoice.id.distinct()), func.sum(Fee.amount_cents))
        .join(Fee, Fee.subscription_id == Subscription.id)
        .join(Invoice, Invoice.id == Fee.invoice_id)
        .where(Invoice.status == "finalized", Invoice.number.is_not(None), Invoice.taxes_amount_cents > 0)
        .group_by(Subscription.external_id)
    )
    with transaction(site.context.sessions, reads_only=True) as session:
        found = {name: (int(count), int(cents)) for name, count, cents in session.execute(billed)}
        numbers = session.scalar(select(func.count(Invoice.number.distinct())))
    expected = {external_id(number): (1, fees_cents(number, events_each)) for number in range(subscriptions)}
    if found != expected or numbers != subscriptions:
        wrong = [name for name in expected if found.get(name) != expected[name]]
        raise AssertionError(f"{len(wrong)} subscriptions are not billed right, {numbers} numbers: {wrong[:5]}")


def main() -> None:
    """Measure once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=10_000)
    parser.add_argument(
        "--events-each", type=int, default=5, help="events of each of a subscription's two metrics"
    )
    parser.add_argument("--numbering", choices=("per_customer", "per_organization"), default="per_customer")
    parser.add_argument("--profile", type=int, default=0, help="print that many functions by their own CPU time")
    wanted = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
    )
    profile = cProfile.Profile(time.process_time) if wanted.profile else None
    with open_closing_site() as site:
        figures = measure_closing(
            site,
            subscriptions=wanted.subscriptions,
            events_each=wanted.events_each,
            numbering=wanted.numbering,
            profile=profile,
        )
    _print(figures)
    if profile is not None:
        for order in ("cumulative", "tottime"):
            pstats.Stats(profile).sort_stats(order).print_stats(wanted.profile)


def _print(figures: ClosingFigures) -> None:
    rates = " ".join(f"{rate:.0f}" for rate in figures.per_second_of_tenths)
    print(f"{figures.invoices} invoices in {figures.seconds:.1f} s: {figures.per_second:.0f}/s; tenths: {rates}")
    for name, seconds in figures.cpu_seconds.items():
        print(f"  {name}: {seconds:.1f} s CPU, {1000 * seconds / figures.invoices:.2f} ms an invoice")


if __name__ == "__main__":
    main()
