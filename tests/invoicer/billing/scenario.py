"""A story told with dates: a catalog, a clock that moves, usage that arrives, and the invoices that come of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from invoicer.billing.billing_items import InvoicingReason
from invoicer.billing.subscription_changes import Termination, terminate_subscription
from invoicer.context import Context
from invoicer.db import Fee, Invoice, Organization, Subscription
from invoicer.db.session import transaction
from invoicer.jobs.clock_steps import move_clock
from schemas.clock import MovableClock
from tests.invoicer.billing.make_catalog import Catalog, subscribe
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.fakes import FakeGate


def utc(text: str) -> datetime:
    """An instant of UTC: `2026-01-31` or `2026-01-31T15:30`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Scenario:
    """The surroundings of one story."""

    context: Context
    clock: MovableClock
    usage: RecountedUsage
    gate: FakeGate
    organization: Organization

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """Add to the catalog in one transaction."""
        with transaction(self.context.sessions) as session:
            yield Catalog(session, session.get_one(Organization, self.organization.id), self.clock.now())

    def subscribe(self, **given: Any) -> Subscription:
        """Customer acme takes the plan team as acme-1."""
        return subscribe(self.context, self.organization, **given)

    def terminate(self, external_id: str = "acme-1", **how: Any) -> None:
        """End an active subscription now."""
        with transaction(self.context.sessions) as session:
            terminate_subscription(
                session, self._active(session, external_id), Termination(**how), self.clock.now()
            )

    def move_to(self, text: str) -> None:
        """Let time pass, doing what falls due on the way."""
        move_clock(self.context, self.clock, utc(text))

    def subscription(self, external_id: str = "acme-1") -> Subscription:
        """The newest subscription row with that id."""
        with transaction(self.context.sessions, reads_only=True) as session:
            newest = (
                select(Subscription)
                .where(Subscription.external_id == external_id)
                .order_by(Subscription.created_at.desc(), Subscription.subscription_at.desc())
                .limit(1)
            )
            return session.scalars(newest).one()

    def invoices(self) -> list[Invoice]:
        """Every invoice row, closed ones too, in the order billed."""
        with transaction(self.context.sessions, reads_only=True) as session:
            rows = (
                select(Invoice)
                .options(
                    selectinload(Invoice.fees).selectinload(Fee.applied_taxes),
                    selectinload(Invoice.billing_periods),
                    selectinload(Invoice.applied_taxes),
                    selectinload(Invoice.credits),
                )
                .order_by(Invoice.billed_at, Invoice.sequential_id, Invoice.created_at)
            )
            return list(session.scalars(rows))

    def told(self) -> list[str]:
        """Each invoice in one line: `MIL-0001-001-001 2026-01-01 subscription 12000 + charge 0; 12000 + 1500`."""
        return [told(invoice) for invoice in self.invoices()]

    def _active(self, session: Session, external_id: str) -> Subscription:
        wanted = select(Subscription).where(
            Subscription.external_id == external_id, Subscription.status == "active"
        )
        return session.scalars(wanted).one()


def told(invoice: Invoice) -> str:
    """`number or status, issuing date: fees (type amount) | taxes | total`."""
    fees = " ".join(f"{fee.fee_type}={fee.amount_cents}" for fee in invoice.fees)
    name = invoice.number or invoice.status
    amounts = f"{fees or 'nothing'} | {invoice.taxes_amount_cents} | {invoice.total_amount_cents}"
    return f"{name} {invoice.issuing_date}: {amounts}"


def reasons(invoice: Invoice) -> list[InvoicingReason]:
    """Why each subscription is on the invoice."""
    return [InvoicingReason(period.invoicing_reason) for period in invoice.billing_periods]
