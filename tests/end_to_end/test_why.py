"""Why an event counts, and what a fee counts: asked of a running instance."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import story
from tests.services.millrace import EmbeddedInstance

CLOCK_START = "2023-11-16T00:00:00Z"
HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedInstance]:
    """A fresh instance on the morning of 2023-11-16."""
    data_dir = tmp_path_factory.mktemp("why") / "data"
    with EmbeddedInstance(data_dir, test_clock=CLOCK_START) as embedded:
        yield embedded


def metric(instance: EmbeddedInstance, code: str, aggregation: str, **changes: Any) -> story.Json:
    """A metric over the property `n`."""
    body = {"name": code, "code": code, "aggregation_type": aggregation, "field_name": "n"}
    return story.create(instance, "billable_metrics", "billable_metric", body | changes)


def trace(instance: EmbeddedInstance, transaction_id: str) -> story.Json:
    """The only event of that id, followed to its fee."""
    [found] = story.unwrap(instance.api.get(f"events/{transaction_id}/trace"), "event_trace")["events"]
    event: story.Json = found
    return event


def charge_of(traced: story.Json) -> story.Json:
    """The only charge that a traced event stands under."""
    [subscription] = [each for each in traced["subscriptions"] if each["covers_event"]]
    [charge] = subscription["charges"]
    found: story.Json = charge
    return found


def fee_events(instance: EmbeddedInstance, fee_id: str, **query: Any) -> story.Json:
    """What stands behind a fee."""
    response = instance.api.get(f"fees/{fee_id}/events", params=query)
    assert response.status_code == 200, response.text
    body: story.Json = response.json()
    return body


def make_catalog(instance: EmbeddedInstance) -> None:
    """Tokens by region and team at two prices, seats that come and go, and storage held over time."""
    tokens = metric(instance, "tokens", "sum_agg", filters=[{"key": "region", "values": ["eu", "us"]}])
    charge = story.standard_charge(tokens, "1") | {
        "properties": {"amount": "1", "pricing_group_keys": ["team"]},
        "filters": [{"values": {"region": ["eu"]}, "properties": {"amount": "2"}}],
    }
    seats = metric(instance, "seats", "unique_count_agg", recurring=True)
    storage = metric(instance, "storage", "weighted_sum_agg", recurring=True, weighted_interval="seconds")
    charges = [charge, story.standard_charge(seats, "10"), story.standard_charge(storage, "3")]
    story.plan(instance, "pro", charges)
    metric(instance, "unsold", "sum_agg")
    story.subscribe(instance, "acme", "pro", "acme-pro")


def send_november(instance: EmbeddedInstance) -> None:
    """What acme uses in the second half of November."""

    def sent(code: str, name: str, at: int = 0, **properties: Any) -> story.Json:
        return story.event("acme-pro", code, name, properties, timestamp=story.MORNING + at)

    events = [
        sent("tokens", "counted", n=5),
        sent("tokens", "filtered", n="2.5", region="eu"),
        sent("tokens", "grouped", n=7, region="us", team="red"),
        sent("tokens", "not-a-number", n="many"),
        sent("tokens", "nothing", m=1),
        sent("nobody-knows", "no-metric", n=1),
        sent("unsold", "unsold", n=1),
        sent("tokens", "before-the-start", -30 * DAY, n=1),
        *(sent("seats", f"seat-{n}", n * HOUR, n=f"user-{n}") for n in range(3)),
        sent("seats", "seat-off", 5 * HOUR, n="user-1", operation_type="remove"),
        sent("storage", "stored", n="100.5"),
        sent("storage", "deleted", 3 * DAY + 7, n="-40.25"),
    ]
    story.send(instance, events)
    stray = story.event("nobody", "tokens", "stray", {"n": 1}, timestamp=story.MORNING)
    story.send(instance, [stray])


def check_current_usage(instance: EmbeddedInstance) -> None:
    """Place, value, filter, group and the period in progress."""
    counted = trace(instance, "counted")
    assert (counted["counts"], counted["reason"], counted["evaluation"]["value"]) == (True, None, "5.0")
    assert counted["acceptance"]["partition"] == 0
    assert counted["acceptance"]["accepted_at"] == "2023-11-20T00:00:00.000Z"
    charge = charge_of(counted)
    assert (charge["billing"]["state"], charge["filter"], charge["grouped_by"]) == (
        "current_usage",
        None,
        {"team": None},
    )
    assert (charge["from_datetime"], charge["to_datetime"]) == (
        "2023-11-16T00:00:00.000Z",
        "2023-11-30T23:59:59.000Z",
    )
    assert charge_of(trace(instance, "filtered"))["filter"]["values"] == {"region": ["eu"]}
    assert charge_of(trace(instance, "grouped"))["grouped_by"] == {"team": "red"}


def check_what_counts_in_nothing(instance: EmbeddedInstance) -> None:
    """Each names its reason; what was never sent is not found."""
    reasons = {
        "not-a-number": "property_not_numeric",
        "nothing": "property_missing",
        "no-metric": "no_metric",
        "unsold": "no_charge",
        "before-the-start": "outside_subscription",
        "stray": "subscription_not_found",
    }
    for name, reason in reasons.items():
        traced = trace(instance, name)
        assert (traced["counts"], traced["reason"]) == (False, reason), name
    assert trace(instance, "not-a-number")["evaluation"]["detail"] == "n is 'many'"
    [outside] = trace(instance, "before-the-start")["subscriptions"]
    assert (outside["covers_event"], outside["outside"], outside["charges"]) == (False, "before_start", [])
    missing = instance.api.get("events/never-sent/trace")
    assert (missing.status_code, missing.json()["code"]) == (404, "event_not_found")


def check_billed_and_late(instance: EmbeddedInstance, invoice: story.Json) -> None:
    """On the line of the invoice, or not: because it came after it, or is worth nothing."""
    billed = charge_of(trace(instance, "counted"))["billing"]
    assert (billed["state"], billed["lago_invoice_id"], billed["invoice_number"], billed["invoice_status"]) == (
        "billed",
        invoice["lago_id"],
        invoice["number"],
        "finalized",
    )
    too_late = charge_of(trace(instance, "late"))["billing"]
    assert (too_late["state"], too_late["lago_invoice_id"], too_late["lago_fee_id"]) == (
        "late",
        invoice["lago_id"],
        None,
    )
    assert charge_of(trace(instance, "not-a-number"))["billing"]["state"] == "not_counted"


def check_recounts(instance: EmbeddedInstance, invoice: story.Json) -> None:
    """Every line of the invoice is what its events come to."""
    fees = {fee["lago_id"]: fee for fee in invoice["fees"] if fee["item"]["type"] == "charge"}
    names = ("counted", "filtered", "grouped", "seat-0", "stored")
    of = {name: charge_of(trace(instance, name))["billing"]["lago_fee_id"] for name in names}
    assert sorted(of.values()) == sorted(fees)
    for name, fee_id in of.items():
        behind = fee_events(instance, fee_id)
        assert behind["recount"]["matches_fee"] is True, (name, behind)
        assert behind["recount"]["units"] == fees[fee_id]["units"]
        assert behind["recount"]["amount_cents"] == fees[fee_id]["amount_cents"]
        assert name in [event["transaction_id"] for event in behind["events"]]

    tokens = fee_events(instance, of["counted"])
    assert tokens["recount"]["late_events"] == {"events_count": 1, "transaction_ids": ["late"]}
    assert [event["value"] for event in tokens["events"]] == ["5.0"]
    assert tokens["recount"]["carried"] is None
    seats = fee_events(instance, of["seat-0"], page=2, per_page=3)
    assert [(event["transaction_id"], event["value"], event["identity"]) for event in seats["events"]] == [
        ("seat-off", "-1.0", "user-1")
    ]
    assert (seats["meta"]["total_count"], seats["recount"]["units"]) == (4, "2.0")
    assert fees[of["stored"]]["total_aggregated_units"] == "60.25"


def check_what_december_carries(instance: EmbeddedInstance, december: story.Json) -> None:
    """Two seats and 60.25 of storage, by the events of November alone."""
    by_code = {fee["item"]["code"]: fee for fee in december["fees"]}
    carried = fee_events(instance, by_code["seats"]["lago_id"])
    assert carried["recount"]["carried"] == {"events_count": 4, "units": "2.0"}
    assert (carried["recount"]["matches_fee"], {event["carried"] for event in carried["events"]}) == (True, {True})
    held = fee_events(instance, by_code["storage"]["lago_id"])["recount"]
    assert (held["matches_fee"], held["carried"]["units"]) == (True, "60.25")


def test_events_tell_why_they_count_and_where_they_are_billed(instance: EmbeddedInstance) -> None:
    """From current usage to the invoice of 1 December, one that came too late, and the fees counted anew."""
    make_catalog(instance)
    story.move_clock(instance, "2023-11-20T00:00:00Z")
    send_november(instance)
    check_current_usage(instance)
    check_what_counts_in_nothing(instance)

    story.move_clock(instance, "2023-12-01T00:00:00Z")
    late = story.event("acme-pro", "tokens", "late", {"n": 1_000}, timestamp=story.MORNING + HOUR)
    story.send(instance, [late])
    [invoice] = story.invoices_of(instance, "acme")
    check_billed_and_late(instance, invoice)
    check_recounts(instance, invoice)

    story.move_clock(instance, "2024-01-01T00:00:00Z")
    invoices = story.invoices_of(instance, "acme")
    [december] = [each for each in invoices if each["lago_id"] != invoice["lago_id"]]
    check_what_december_carries(instance, december)


def test_late_event_on_the_machines_clock_is_told_from_a_billed_one(data_dir: Path) -> None:
    """A subscription that ends is invoiced at once; what the store takes afterwards is late and changes no fee."""
    with EmbeddedInstance(data_dir) as live:
        tokens = metric(live, "tokens", "sum_agg")
        story.plan(live, "pro", [story.standard_charge(tokens, "1")])
        story.subscribe(live, "acme", "pro", "acme-pro")
        story.send(live, [story.event("acme-pro", "tokens", f"in-time-{n}", {"n": 2}) for n in range(3)])
        used_at = live.api.get("events/in-time-0").json()["event"]["timestamp"]
        story.unwrap(live.api.delete("subscriptions/acme-pro"), "subscription")
        story.wait_for(lambda: len(story.invoices_of(live, "acme")) == 1, "the final invoice")
        at = datetime.fromisoformat(used_at).timestamp() + 0.001
        story.send(live, [story.event("acme-pro", "tokens", "late", {"n": 5}, timestamp=at)])
        billed, late = (charge_of(trace(live, name))["billing"] for name in ("in-time-2", "late"))
        assert (billed["state"], late["state"]) == ("billed", "late")
        recount = fee_events(live, billed["lago_fee_id"])["recount"]
        assert (recount["units"], recount["matches_fee"]) == ("6.0", True)
        assert recount["late_events"]["transaction_ids"] == ["late"]
