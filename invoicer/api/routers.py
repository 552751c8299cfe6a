"""The routers of the API, in the order in which they are asked."""

from collections.abc import Sequence

from fastapi import APIRouter

from invoicer.api import (
    billable_metrics,
    charge_filters,
    credit_note_metadata,
    credit_notes,
    customers,
    event_trace,
    events,
    fee_events,
    fees,
    invoices,
    late_events,
    not_offered,
    organizations,
    plan_charges,
    plan_metadata,
    plans,
    reconciliation,
    subscriptions,
    taxes,
    test_clock,
    usage,
)


def catalog_routers() -> Sequence[APIRouter]:
    """Routes of the catalog, those with longer paths first."""
    return (
        organizations.router,
        billable_metrics.router,
        taxes.router,
        charge_filters.router,
        plan_charges.router,
        plan_metadata.router,
        plans.router,
        customers.router,
    )


def billing_routers() -> Sequence[APIRouter]:
    """Routes of subscriptions, usage, invoices, credit notes, fees and events."""
    return (
        subscriptions.router,
        usage.router,
        invoices.router,
        credit_note_metadata.router,
        credit_notes.router,
        fee_events.router,
        fees.router,
        event_trace.router,
        events.router,
        late_events.router,
        reconciliation.router,
        test_clock.router,
    )


def api_routers() -> Sequence[APIRouter]:
    """All routes below /api/v1.

    Codes and external ids may hold `/`, so `/customers/{external_id:path}` takes whatever nobody before it
    took: routes below a customer or a plan, such as its usage, must be asked first.
    """
    return (not_offered.router, *billing_routers(), *catalog_routers())
