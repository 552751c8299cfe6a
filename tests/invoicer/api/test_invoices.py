"""Invoices through the API: whole answers, lists and changes."""

from datetime import UTC, datetime

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models import Invoice as LagoInvoice

from tests.invoicer.api.billing_story import (
    get,
    invoices,
    make_calls_plan,
    make_plan,
    move_clock,
    post,
    subscribe,
)
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.fakes import FakeGate


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


def drafted(client: httpx.Client, usage: RecountedUsage) -> dict[str, object]:
    """A draft of 1 April over 3 calls, to be final on the 4th."""
    post(client, "customers", "customer", external_id="acme", billing_configuration={"invoice_grace_period": 3})
    make_calls_plan(client, amount_cents=0)
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, tzinfo=UTC), times=3)
    move_clock(client, "2026-04-01T00:00:00Z")
    [draft] = invoices(client)
    return draft


def test_invoice_shows_everything_that_makes_it_up(client: httpx.Client, usage: RecountedUsage) -> None:
    """17 of 31 days of 120.00, ten calls at 0.10, 12.5 % tax on both: 65.81 + 1.00 + 8.35."""
    post(client, "taxes", "tax", name="Sales", code="sales", rate=12.5)
    make_calls_plan(client, tax_codes=["sales"])
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), times=10)
    move_clock(client, "2026-04-01T00:00:00Z")
    [listed] = invoices(client)
    invoice = get(client, f"invoices/{listed['lago_id']}")["invoice"]
    shown = {key: invoice[key] for key in ("status", "payment_status", "issuing_date", "payment_due_date")}
    assert shown == {
        "status": "finalized",
        "payment_status": "pending",
        "issuing_date": "2026-04-01",
        "payment_due_date": "2026-04-01",
    }
    amounts = {key: value for key, value in invoice.items() if key.endswith("_cents") and value}
    assert amounts == {
        "fees_amount_cents": 6_681,
        "sub_total_excluding_taxes_amount_cents": 6_681,
        "taxes_amount_cents": 835,
        "sub_total_including_taxes_amount_cents": 7_516,
        "total_amount_cents": 7_516,
        "total_due_amount_cents": 7_516,
    }
    [period] = invoice["billing_periods"]
    assert (period["charges_from_datetime"], period["charges_to_datetime"]) == (
        "2026-03-15T12:00:00Z",
        "2026-03-31T23:59:59Z",
    )
    assert period["subscription_from_datetime"] == "2026-03-15T00:00:00Z"
    assert [tax["tax_code"] for tax in invoice["applied_taxes"]] == ["sales"]
    assert [subscription["external_id"] for subscription in invoice["subscriptions"]] == ["acme-1"]
    charge = invoice["fees"][1]
    assert (charge["units"], charge["events_count"], charge["precise_amount"]) == ("10.0", 10, "1.0")
    assert (charge["precise_unit_amount"], charge["to_date"]) == ("0.1", "2026-03-31T23:59:59Z")


def test_draft_is_refreshed_and_made_final_on_request(client: httpx.Client, usage: RecountedUsage) -> None:
    """Two more calls of March arrive: a refresh counts them; finalizing gives the number and today's date."""
    draft = drafted(client, usage)
    assert (draft["status"], str(draft["number"])[-6:], draft["total_amount_cents"]) == ("draft", "-DRAFT", 30)
    usage.send("acme-1", "calls", datetime(2026, 3, 21, tzinfo=UTC), times=2)
    refreshed = client.put(f"/api/v1/invoices/{draft['lago_id']}/refresh").json()["invoice"]
    assert (refreshed["status"], refreshed["total_amount_cents"]) == ("draft", 50)
    final = client.put(f"/api/v1/invoices/{draft['lago_id']}/finalize").json()["invoice"]
    assert (final["status"], final["number"][-8:], final["issuing_date"]) == (
        "finalized",
        "-001-001",
        "2026-04-01",
    )
    again = client.put(f"/api/v1/invoices/{draft['lago_id']}/finalize")
    assert (again.status_code, again.json()["code"]) == (404, "invoice_not_found")
    assert client.put(f"/api/v1/invoices/{draft['lago_id']}/refresh").json()["invoice"]["status"] == "finalized"


def test_draft_is_not_made_final_while_events_are_being_counted(
    client: httpx.Client, usage: RecountedUsage, gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with the time to try again; the draft stays."""
    monkeypatch.setattr("invoicer.billing.draft_refresh._CATCH_UP_SECONDS_MAX", 0.1)
    draft = drafted(client, usage)
    gate.is_open = False
    answer = client.put(f"/api/v1/invoices/{draft['lago_id']}/finalize")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert get(client, f"invoices/{draft['lago_id']}")["invoice"]["status"] == "draft"


def test_invoice_paid_is_not_overdue_and_its_fees_are_paid(client: httpx.Client) -> None:
    """`succeeded` leaves nothing due, now and after the due date."""
    make_plan(client, pay_in_advance=True)
    subscribe(client)
    [invoice] = invoices(client)
    path = f"/api/v1/invoices/{invoice['lago_id']}"
    paid = client.put(path, json={"invoice": {"payment_status": "succeeded"}}).json()["invoice"]
    assert (paid["payment_status"], paid["total_due_amount_cents"], paid["total_paid_amount_cents"]) == (
        "succeeded",
        0,
        6_581,
    )
    assert [fee["payment_status"] for fee in paid["fees"]] == ["succeeded"]
    move_clock(client, "2026-03-31T00:00:00Z")
    assert get(client, f"invoices/{invoice['lago_id']}")["invoice"]["payment_overdue"] is False


@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({"payment_status": "maybe"}, {"payment_status": ["value_is_invalid"]}),
        ({"metadata": [{"key": str(n), "value": "x"} for n in range(6)]}, {"metadata": ["invalid_count"]}),
        ({"metadata": [{"key": "k" * 21, "value": "x"}]}, {"metadata.0.key": ["value_is_too_long"]}),
    ],
)
def test_invoice_change_out_of_bounds_is_refused(
    client: httpx.Client, changes: dict[str, object], details: dict[str, list[str]]
) -> None:
    """Each fault is named by its field."""
    make_plan(client, pay_in_advance=True)
    subscribe(client)
    [invoice] = invoices(client)
    answer = client.put(f"/api/v1/invoices/{invoice['lago_id']}", json={"invoice": changes})
    assert (answer.status_code, answer.json()["error_details"]) == (422, details)


def test_draft_cannot_be_paid(client: httpx.Client, usage: RecountedUsage) -> None:
    """405: what is owed is not settled yet."""
    draft = drafted(client, usage)
    answer = client.put(f"/api/v1/invoices/{draft['lago_id']}", json={"invoice": {"payment_status": "succeeded"}})
    assert (answer.status_code, answer.json()["code"]) == (405, "payment_status_update_on_draft_invoice")


def test_invoices_are_listed_by_what_they_have_in_common(client: httpx.Client) -> None:
    """Latest issuing date first; each filter narrows."""
    make_plan(client, pay_in_advance=True)
    make_plan(client, "euro", amount_currency="EUR", pay_in_advance=True)
    subscribe(client, purchase_order_number="PO-7")
    subscribe(client, external_id="globex-1", external_customer_id="globex", plan_code="euro")
    move_clock(client, "2026-04-01T00:00:00Z")
    everything = invoices(client)
    assert [each["issuing_date"] for each in everything] == [
        "2026-04-01",
        "2026-04-01",
        "2026-03-15",
        "2026-03-15",
    ]
    note = {"invoice": {"metadata": [{"key": "batch", "value": "7"}], "payment_status": "failed"}}
    client.put(f"/api/v1/invoices/{everything[0]['lago_id']}", json=note)

    def count(**query: str) -> int:
        return len(invoices(client, **query))

    assert count(external_customer_id="acme") == count(currency="EUR") == count(amount_from="12000") == 2
    assert count(amount_to="11999") == count(issuing_date_to="2026-03-31") == count(search_term="globex") == 2
    assert count(issuing_date_from="2026-04-02") == count(status="voided") == count(self_billed="true") == 0
    assert count(payment_status="failed") == count(**{"payment_statuses[]": "failed"}) == 1
    assert count(**{"metadata[batch]": "7"}) == 1
    assert count(**{"metadata[batch]": ""}) == 3
    assert count(payment_overdue="true") == count(purchase_order_number="PO-7") == 2
    assert len(get(client, "customers/globex/invoices")["invoices"]) == 2


def test_invoice_of_nothing_that_is_not_issued_is_not_there(client: httpx.Client) -> None:
    """Closed: neither listed nor found."""
    post(client, "customers", "customer", external_id="acme", finalize_zero_amount_invoice="skip")
    make_plan(client, amount_cents=0, pay_in_advance=True)
    subscribe(client)
    assert invoices(client) == []
    assert get(client, "fees")["fees"] == []


def test_draft_of_nothing_is_answered_as_closed_when_made_final(client: httpx.Client) -> None:
    """It is there while it is a draft; what finalizing made of it is said once."""
    grace = {"invoice_grace_period": 3}
    post(client, "customers", "customer", external_id="acme", billing_configuration=grace)
    client.put("/api/v1/organizations", json={"organization": {"finalize_zero_amount_invoice": False}})
    make_plan(client, amount_cents=0, pay_in_advance=True)
    subscribe(client)
    [draft] = invoices(client)
    path = f"/api/v1/invoices/{draft['lago_id']}"
    closed = client.put(f"{path}/finalize")
    assert (draft["status"], closed.status_code, closed.json()["invoice"]["status"]) == ("draft", 200, "closed")
    assert (client.get(path).status_code, invoices(client)) == (404, [])


def test_invoice_operations_that_are_not_offered_are_refused(client: httpx.Client) -> None:
    """One-off invoices 422; voiding has no route; an id that is none is not found."""
    one_off = client.post("/api/v1/invoices", json={"invoice": {"external_customer_id": "acme", "fees": []}})
    assert (one_off.status_code, one_off.json()["error_details"]) == (422, {"base": ["not_supported"]})
    for answer in (client.get("/api/v1/invoices/none"), client.post("/api/v1/invoices/none/download")):
        assert (answer.status_code, answer.json()["code"]) == (404, "invoice_not_found")
    assert client.post("/api/v1/invoices/none/void").status_code == 404


def test_official_client_reads_invoices_with_groups_without_value(
    client: httpx.Client, lago: LagoClient, usage: RecountedUsage
) -> None:
    """The official client reads every answer, also of a fee whose group lacks its key."""
    make_calls_plan(client, charge={"properties": {"amount": "0.1", "pricing_group_keys": ["region"]}})
    subscribe(client)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, tzinfo=UTC), times=3)
    usage.send("acme-1", "calls", datetime(2026, 3, 20, tzinfo=UTC), region="eu")
    move_clock(client, "2026-04-01T00:00:00Z")
    [listed] = lago.invoices.find_all()["invoices"]
    found = lago.invoices.find(listed.lago_id)
    assert [fee.item.grouped_by for fee in found.fees.__root__[1:]] == [{"region": "eu"}, {}]
    assert lago.invoices.download(listed.lago_id).number == listed.number
    updated = lago.invoices.update(LagoInvoice(payment_status="succeeded"), listed.lago_id)
    assert updated.payment_status == "succeeded"
