"""Events that come after the invoice of their period: billed, given back or listed, and never lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end import story
from tests.services.millrace import EmbeddedInstance

CLOCK_START = "2023-11-01T00:00:00Z"
DECEMBER = "2023-12-01T00:00:00Z"
JANUARY = "2024-01-01T00:00:00Z"
DAY = 86_400


@pytest.fixture
def instance(data_dir: Path) -> Iterator[EmbeddedInstance]:
    """A fresh instance on the first of November 2023."""
    with EmbeddedInstance(data_dir, test_clock=CLOCK_START) as embedded:
        yield embedded


def policy(instance: EmbeddedInstance, name: str) -> None:
    """What the organization wants done about late events."""
    answer = instance.api.put("organizations", json={"organization": {"late_event_policy": name}})
    assert story.unwrap(answer, "organization")["late_event_policy"] == name


def tiered_charge(metric: story.Json) -> story.Json:
    """The first ten units at 1.00, the others at 0.50."""
    tiers = [
        {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "0"},
        {"from_value": 11, "to_value": None, "per_unit_amount": "0.5", "flat_amount": "0"},
    ]
    return {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "graduated",
        "properties": {"graduated_ranges": tiers},
    }


def send(instance: EmbeddedInstance, name: str, n: int, code: str = "tokens", **changes: Any) -> None:
    """One event of November."""
    at = changes.pop("timestamp", story.MORNING)
    story.send(instance, [story.event("acme-pro", code, name, {"n": n, **changes}, timestamp=at)])


def settle(instance: EmbeddedInstance) -> None:
    """Let everything happen that is due now."""
    story.move_clock(instance, instance.api.get("test_clock").json()["test_clock"]["now"])


def late_events(instance: EmbeddedInstance, **query: str) -> list[story.Json]:
    """The late events that are listed."""
    found: list[story.Json] = instance.api.get("late_events", params=query).json()["late_events"]
    return found


def amounts(invoice: story.Json) -> list[tuple[str, int, str]]:
    """Code, amount and units of each charge fee."""
    return [(fee["item"]["code"], fee["amount_cents"], fee["units"]) for fee in charge_fees(invoice)]


def charge_fees(invoice: story.Json) -> list[story.Json]:
    """The fees of usage."""
    return [fee for fee in invoice["fees"] if fee["item"]["type"] == "charge"]


def bill_november(instance: EmbeddedInstance) -> story.Json:
    """Eight tokens in time, billed on 1 December with 8.00; then the clock stands there."""
    tokens = story.sum_metric(instance, "tokens", "n")
    story.plan(instance, "pro", [tiered_charge(tokens)])
    story.subscribe(instance, "acme", "pro", "acme-pro")
    story.move_clock(instance, "2023-11-20T00:00:00Z")
    send(instance, "in-time", 8)
    story.move_clock(instance, DECEMBER)
    [invoice] = story.invoices_of(instance, "acme")
    assert amounts(invoice) == [("tokens", 800, "8.0")]
    return invoice


def test_late_event_is_on_the_next_invoice_at_the_price_of_its_period(instance: EmbeddedInstance) -> None:
    """Six late tokens: two still at 1.00 and four at 0.50, as if they had come in time."""
    november = bill_november(instance)
    send(instance, "late", 6)
    settle(instance)
    [listed] = late_events(instance)
    assert (listed["transaction_id"], listed["status"], listed["policy"]) == (
        "late",
        "awaiting_invoice",
        "next_invoice",
    )
    assert (listed["lago_invoice_id"], listed["invoice_number"]) == (november["lago_id"], november["number"])
    story.move_clock(instance, "2023-12-20T00:00:00Z")
    send(instance, "december", 1, timestamp=story.MORNING + 30 * DAY)

    story.move_clock(instance, JANUARY)
    december = story.invoices_of(instance, "acme")[-1]
    assert amounts(december) == [("tokens", 100, "1.0"), ("tokens", 400, "6.0")]
    fee = charge_fees(december)[1]
    assert (fee["from_date"], fee["to_date"]) == (november["fees"][1]["from_date"], november["fees"][1]["to_date"])
    assert fee["item"]["invoice_display_name"] == "tokens (late usage of 2023-11-01 to 2023-11-30)"
    [listed] = late_events(instance, status="billed")
    adjustment = listed["adjustment"]
    assert (adjustment["lago_fee_id"], adjustment["lago_invoice_id"]) == (fee["lago_id"], december["lago_id"])
    assert (adjustment["amount_cents"], adjustment["units"]) == (400, "6.0")

    check_trace_and_fee(instance, november, fee)
    assert 'millrace_late_events_total{policy="next_invoice",status="billed"} 1.0' in metrics(instance)

    story.move_clock(instance, "2024-02-01T00:00:00Z")
    assert amounts(story.invoices_of(instance, "acme")[-1]) == [], "it is billed once"


def check_trace_and_fee(instance: EmbeddedInstance, november: story.Json, fee: story.Json) -> None:
    """From the event to the fee of the difference, and from there back to the event and the recount."""
    traced = story.unwrap(instance.api.get("events/late/trace"), "event_trace")
    billing = traced["events"][0]["subscriptions"][0]["charges"][0]["billing"]
    assert (billing["state"], billing["lago_invoice_id"]) == ("late", november["lago_id"])
    assert billing["late_event"]["adjustment"]["lago_fee_id"] == fee["lago_id"]
    behind = instance.api.get(f"fees/{fee['lago_id']}/events").json()
    assert [event["transaction_id"] for event in behind["events"]] == ["late"]
    recount = behind["recount"]
    assert (recount["matches_fee"], recount["units"], recount["amount_cents"]) == (True, "6.0", 400)
    own = instance.api.get(f"fees/{november['fees'][1]['lago_id']}/events").json()["recount"]
    assert (own["matches_fee"], own["units"], own["late_events"]["events_count"]) == (True, "8.0", 1)


def test_event_that_came_at_the_instant_a_subscription_was_ended_is_behind_one_fee(
    instance: EmbeddedInstance,
) -> None:
    """No clock tells it from the events of the final invoice, which was made a moment before it came."""
    policy(instance, "credit_note_or_invoice")
    tokens = story.sum_metric(instance, "tokens", "n")
    story.plan(instance, "pro", [story.standard_charge(tokens, "1")])
    story.subscribe(instance, "acme", "pro", "acme-pro")
    story.move_clock(instance, "2023-11-20T00:00:00Z")
    send(instance, "in-time", 3)
    assert instance.api.delete("subscriptions/acme-pro").status_code == httpx.codes.OK
    send(instance, "late", 4)
    settle(instance)
    fees = [charge_fees(invoice)[0] for invoice in story.invoices_of(instance, "acme")]
    # Both invoices are of the same instant: nothing says which of them is listed first.
    fees.sort(key=lambda fee: str(fee["units"]))
    behind = [instance.api.get(f"fees/{fee['lago_id']}/events").json() for fee in fees]
    assert [[each["transaction_id"] for each in one["events"]] for one in behind] == [["in-time"], ["late"]]
    assert [(one["recount"]["units"], one["recount"]["matches_fee"]) for one in behind] == [
        ("3.0", True),
        ("4.0", True),
    ]
    assert behind[0]["recount"]["late_events"]["transaction_ids"] == ["late"]


def metrics(instance: EmbeddedInstance) -> str:
    """What Prometheus is told."""
    return httpx.get(f"{str(instance.api.base_url).split('/api')[0]}/metrics").text


def test_late_event_that_lowers_the_amount_is_credited_and_taken_by_the_next_invoice(
    instance: EmbeddedInstance,
) -> None:
    """Three tokens less are 3.00 less: a credit note on November's invoice, used up by December's."""
    november = bill_november(instance)
    send(instance, "late", -3)
    settle(instance)
    [listed] = late_events(instance)
    assert (listed["status"], listed["adjustment"]["amount_cents"]) == ("credited", -300)
    assert listed["adjustment"]["credit_note_number"] == f"{november['number']}-CN001"
    story.move_clock(instance, "2023-12-20T00:00:00Z")
    send(instance, "december", 5, timestamp=story.MORNING + 30 * DAY)
    story.move_clock(instance, JANUARY)
    december = story.invoices_of(instance, "acme")[-1]
    assert amounts(december) == [("tokens", 500, "5.0")]
    assert (december["credit_notes_amount_cents"], december["total_amount_cents"]) == (300, 200)


def test_late_event_is_invoiced_at_once_where_the_policy_says_so(instance: EmbeddedInstance) -> None:
    """Each time by an invoice of its own with the next number, also twice at one instant, or by a credit note."""
    policy(instance, "credit_note_or_invoice")
    november = bill_november(instance)
    send(instance, "late-1", 2)
    settle(instance)
    send(instance, "late-2", 4)
    settle(instance)
    send(instance, "late-3", -4)
    settle(instance)
    settle(instance)
    invoices = story.invoices_of(instance, "acme")
    assert sorted((each["number"], each["total_amount_cents"]) for each in invoices) == [
        (november["number"], 800),
        (november["number"].replace("-001-001", "-001-002"), 200),
        (november["number"].replace("-001-001", "-001-003"), 200),
    ]
    assert {each["billing_periods"][0]["invoicing_reason"] for each in invoices} == {
        "subscription_periodic",
        "late_usage",
    }
    changed = {each["transaction_id"]: each for each in late_events(instance)}
    assert {name: (each["status"], each["adjustment"]["amount_cents"]) for name, each in changed.items()} == {
        "late-1": ("billed", 200),
        "late-2": ("billed", 200),
        "late-3": ("credited", -200),
    }
    story.move_clock(instance, JANUARY)
    assert amounts(story.invoices_of(instance, "acme")[-1]) == []


def test_ignored_late_event_is_listed_and_stays_out_of_later_corrections(instance: EmbeddedInstance) -> None:
    """Under `ignore` it changes nothing, also when the policy changes and another one comes."""
    policy(instance, "ignore")
    bill_november(instance)
    send(instance, "ignored", 100)
    settle(instance)
    [listed] = late_events(instance)
    assert (listed["status"], listed["adjustment"]) == ("ignored", None)
    policy(instance, "credit_note_or_invoice")
    send(instance, "late", 1)
    settle(instance)
    assert sorted(each["total_amount_cents"] for each in story.invoices_of(instance, "acme")) == [100, 800]


def test_policy_that_does_not_exist_is_refused(instance: EmbeddedInstance) -> None:
    """422 under its name; the default is `next_invoice`."""
    assert instance.api.get("organizations").json()["organization"]["late_event_policy"] == "next_invoice"
    answer = instance.api.put("organizations", json={"organization": {"late_event_policy": "forget"}})
    assert (answer.status_code, list(answer.json()["error_details"])) == (422, ["late_event_policy"])


def test_late_event_is_on_a_draft_however_often_it_is_refreshed(instance: EmbeddedInstance) -> None:
    """A grace of five days: what comes on the first two of them is on the draft of December once, as one line."""
    bill_november(instance)
    customer = {"external_id": "acme", "billing_configuration": {"invoice_grace_period": 5}}
    story.create(instance, "customers", "customer", customer)
    send(instance, "late-1", 2)
    story.move_clock(instance, JANUARY)
    draft = story.invoices_of(instance, "acme")[-1]
    assert (draft["status"], amounts(draft)) == ("draft", [("tokens", 200, "2.0")])
    send(instance, "late-2", 4)
    for _ in range(2):
        draft = story.unwrap(instance.api.put(f"invoices/{draft['lago_id']}/refresh"), "invoice")
        assert amounts(draft) == [("tokens", 400, "6.0")]
    send(instance, "late-3", -1)
    story.move_clock(instance, "2024-01-10T00:00:00Z")
    december = story.invoices_of(instance, "acme")[-1]
    assert (december["status"], amounts(december)) == ("finalized", [("tokens", 350, "5.0")])
    listed = late_events(instance)
    assert {each["status"] for each in listed} == {"billed"}
    assert {each["adjustment"]["lago_fee_id"] for each in listed} == {charge_fees(december)[0]["lago_id"]}


def test_late_event_of_an_ended_subscription_is_invoiced_at_once(instance: EmbeddedInstance) -> None:
    """There is no next invoice to wait for."""
    bill_november(instance)
    story.unwrap(instance.api.delete("subscriptions/acme-pro"), "subscription")
    settle(instance)
    before = len(story.invoices_of(instance, "acme"))
    send(instance, "late", 2)
    settle(instance)
    invoices = story.invoices_of(instance, "acme")
    assert len(invoices) == before + 1
    [late] = [each for each in invoices if each["billing_periods"][0]["invoicing_reason"] == "late_usage"]
    assert amounts(late) == [("tokens", 200, "2.0")]


def test_late_recurring_units_are_billed_in_every_period_they_were_held(instance: EmbeddedInstance) -> None:
    """A seat of November that comes in January was missing on two invoices."""
    seats = story.create(
        instance,
        "billable_metrics",
        "billable_metric",
        {"name": "seats", "code": "seats", "aggregation_type": "sum_agg", "field_name": "n", "recurring": True},
    )
    story.plan(instance, "pro", [story.standard_charge(seats, "10")])
    story.subscribe(instance, "acme", "pro", "acme-pro")
    story.move_clock(instance, "2023-11-20T00:00:00Z")
    send(instance, "seat-1", 1, code="seats")
    story.move_clock(instance, JANUARY)
    send(instance, "seat-2", 1, code="seats")
    story.move_clock(instance, "2024-02-01T00:00:00Z")
    january = story.invoices_of(instance, "acme")[-1]
    assert amounts(january) == [("seats", 2_000, "2.0"), ("seats", 1_000, "1.0"), ("seats", 1_000, "1.0")]
    assert [fee["from_date"][:10] for fee in charge_fees(january)] == ["2024-01-01", "2023-11-01", "2023-12-01"]


def test_changed_price_is_not_put_on_what_was_billed_before(instance: EmbeddedInstance) -> None:
    """The price doubles after November was billed: one late token costs 2.00, the eight billed nothing more."""
    tokens = story.sum_metric(instance, "tokens", "n")
    plan = story.plan(instance, "pro", [story.standard_charge(tokens, "1")])
    story.subscribe(instance, "acme", "pro", "acme-pro")
    story.move_clock(instance, "2023-11-20T00:00:00Z")
    send(instance, "in-time", 8)
    story.move_clock(instance, "2023-12-02T00:00:00Z")
    charge = plan["charges"][0]
    body = {"charge": {"properties": {"amount": "2"}}}
    story.unwrap(instance.api.put(f"plans/pro/charges/{charge['code']}", json=body), "charge")
    send(instance, "late", 1)
    story.move_clock(instance, JANUARY)
    assert amounts(story.invoices_of(instance, "acme")[-1]) == [("tokens", 200, "1.0")]


def test_full_check_finds_what_the_continuous_look_has_passed(instance: EmbeddedInstance) -> None:
    """POST /reconciliation counts every final period; an event in no charge changes nothing, and is listed."""
    bill_november(instance)
    send(instance, "late", 2)
    send(instance, "unknown", 1, code="nobody-knows")
    story.unwrap(instance.api.post("reconciliation"), "reconciliation")
    assert {each["transaction_id"] for each in late_events(instance)} == {"late", "unknown"}
    settle(instance)
    assert {each["transaction_id"]: each["status"] for each in late_events(instance)} == {
        "late": "awaiting_invoice",
        "unknown": "no_change",
    }
