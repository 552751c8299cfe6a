"""The test clock through the API."""

from dataclasses import replace

import httpx
from fastapi import FastAPI

from schemas.clock import SystemClock
from tests.invoicer.api.billing_story import get, invoices, make_plan, move_clock, subscribe
from tests.invoicer.fakes import FakeGate


def test_clock_moved_does_everything_due_on_the_way(client: httpx.Client) -> None:
    """Half a year at once: six invoices, each issued on its own day; then the clock stands where it was sent."""
    make_plan(client)
    subscribe(client)
    move_clock(client, "2026-09-01T06:30:00Z")
    assert get(client, "test_clock") == {"test_clock": {"now": "2026-09-01T06:30:00Z"}}
    assert [invoice["issuing_date"] for invoice in reversed(invoices(client))] == [
        f"2026-{month:02d}-01" for month in range(4, 10)
    ]
    assert {invoice["created_at"][:10] for invoice in invoices(client)} == {
        f"2026-{month:02d}-01" for month in range(4, 10)
    }


def test_clock_never_moves_back(client: httpx.Client) -> None:
    """422 for an instant gone by, or for none at all."""
    back = client.put("/api/v1/test_clock", json={"test_clock": {"now": "2026-03-15T11:59:59Z"}})
    assert (back.status_code, back.json()["error_details"]) == (422, {"now": ["value_is_out_of_range"]})
    none = client.put("/api/v1/test_clock", json={"test_clock": {"now": "noon"}})
    assert none.json()["error_details"] == {"now": ["invalid_date"]}


def test_clock_stays_where_usage_is_still_being_counted(client: httpx.Client, gate: FakeGate) -> None:
    """It stops at the instant that waits, says so, and goes on when asked again."""
    make_plan(client)
    subscribe(client)
    gate.is_open = False
    stuck = client.put("/api/v1/test_clock", json={"test_clock": {"now": "2026-06-01T00:00:00Z"}})
    assert (stuck.status_code, stuck.json()["code"]) == (503, "billing_unavailable")
    assert get(client, "test_clock")["test_clock"]["now"] == "2026-04-01T00:00:00Z"
    gate.is_open = True
    move_clock(client, "2026-06-01T00:00:00Z")
    assert len(invoices(client)) == 3


def test_clock_of_the_machine_cannot_be_moved(app: FastAPI, client: httpx.Client) -> None:
    """404 where time goes by itself."""
    app.state.context = replace(app.state.context, clock=SystemClock())
    assert client.get("/api/v1/test_clock").status_code == 404
    assert client.put("/api/v1/test_clock", json={"test_clock": {"now": "2030-01-01"}}).status_code == 404
