"""The events behind a fee, and the fee counted anew from them, through the API."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from invoicer.billing import fee_events
from schemas.usage import UsageScope, UsageTotals
from tests.invoicer.api.billing_story import get, make_metric, make_plan, move_clock, subscribe
from tests.invoicer.billing.recounted_usage import RecountedUsage

MARCH = datetime(2026, 3, 20, tzinfo=UTC)
LATE = datetime(2026, 4, 2, tzinfo=UTC)


@pytest.fixture
def usage() -> RecountedUsage:
    """Usage that counts."""
    return RecountedUsage()


def make_tokens_plan(client: httpx.Client, aggregation: str = "sum_agg", **changes: Any) -> dict[str, Any]:
    """The plan team with one charge on tokens, dearer in the EU, priced by team; its charge is returned."""
    metric = make_metric(
        client,
        "tokens",
        aggregation_type=aggregation,
        field_name="n",
        filters=[{"key": "region", "values": ["eu", "us"]}],
        **changes.pop("metric", {}),
    )
    charge = {
        "billable_metric_id": metric["lago_id"],
        "charge_model": "standard",
        "properties": {"amount": "1", "pricing_group_keys": ["team"]},
        "filters": [{"values": {"region": ["eu"]}, "properties": {"amount": "2"}}],
    }
    plan = make_plan(client, charges=[charge | changes])
    subscribe(client)
    [made] = plan["charges"]
    found: dict[str, Any] = made
    return found


def bill(client: httpx.Client) -> list[dict[str, Any]]:
    """Let March end; the charge fees of its invoice."""
    move_clock(client, "2026-04-01T00:00:00Z")
    fees: list[dict[str, Any]] = get(client, "fees", fee_type="charge")["fees"]
    return fees


def test_fee_events_are_those_of_its_bucket_and_group_in_pages(
    client: httpx.Client, usage: RecountedUsage
) -> None:
    """Another region, another team and another month are other fees; the recount is of all pages."""
    make_tokens_plan(client)
    for day in (18, 19, 20):
        usage.send("acme-1", "tokens", datetime(2026, 3, day, tzinfo=UTC), "1.5", region="us", team="red")
    usage.send("acme-1", "tokens", MARCH, "7", region="us")
    usage.send("acme-1", "tokens", MARCH, "11", region="eu", team="red")
    usage.send("acme-1", "tokens", LATE, "13", region="us", team="red", arrived_at=LATE)
    eu, red, none = bill(client)
    behind = get(client, f"fees/{red['lago_id']}/events", page=2, per_page=2)
    assert [event["timestamp"] for event in behind["events"]] == ["2026-03-20T00:00:00.000Z"]
    assert [event["value"] for event in behind["events"]] == ["1.5"]
    assert (behind["meta"]["total_count"], behind["meta"]["total_pages"]) == (3, 2)
    assert behind["recount"] == {
        "as_of": "2026-04-01T00:00:00.000Z",
        "fee_units": "4.5",
        "units": "4.5",
        "total_aggregated_units": "4.5",
        "events_count": 3,
        "amount_cents": 450,
        "matches_fee": True,
        "charge_changed": False,
        "carried": None,
        "late_events": {"events_count": 0, "transaction_ids": []},
    }
    for fee, units in ((eu, "11.0"), (none, "7.0")):
        assert get(client, f"fees/{fee['lago_id']}/events")["recount"]["units"] == units


def test_fee_events_leave_out_what_arrived_after_the_invoice(client: httpx.Client, usage: RecountedUsage) -> None:
    """It is named, it is on no page, and the fee still matches."""
    make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "2")
    [fee] = bill(client)
    usage.send("acme-1", "tokens", MARCH, "5", arrived_at=LATE)
    behind = get(client, f"fees/{fee['lago_id']}/events")
    assert behind["recount"]["late_events"] == {"events_count": 1, "transaction_ids": ["t1"]}
    assert (behind["recount"]["matches_fee"], behind["meta"]["total_count"]) == (True, 1)


def test_fee_that_its_events_do_not_add_up_to_is_found_out(
    client: httpx.Client, usage: RecountedUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store said 3 where its events say 2: the recount does not ask it."""
    make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "2")
    honest = usage.totals

    def wrong(scope: UsageScope) -> Sequence[UsageTotals]:
        return [replace(each, sum=each.sum + 1) for each in honest(scope)]

    monkeypatch.setattr(usage, "totals", wrong)
    [fee] = bill(client)
    recount = get(client, f"fees/{fee['lago_id']}/events")["recount"]
    assert (recount["fee_units"], recount["units"], recount["matches_fee"]) == ("3.0", "2.0", False)


@pytest.mark.parametrize(
    ("aggregation", "changes", "sent", "units"),
    [
        ("max_agg", {}, [("5", ""), ("3", "")], "5.0"),
        ("latest_agg", {}, [("5", ""), ("3", "")], "3.0"),
        ("unique_count_agg", {}, [("1", "u1"), ("1", "u2"), ("-1", "u1"), ("1", "u3")], "2.0"),
        ("unique_count_agg", {"metric": {"recurring": True}}, [("1", "u1"), ("1", "u2"), ("-1", "u1")], "1.0"),
        ("weighted_sum_agg", {"metric": {"weighted_interval": "seconds"}}, [("31", ""), ("-31", "")], "1.0"),
        ("sum_agg", {"metric": {"recurring": True}, "prorated": True}, [("5", ""), ("3", "")], "8.0"),
        (
            "unique_count_agg",
            {"metric": {"recurring": True}, "prorated": True},
            [("1", "u1"), ("-1", "u1")],
            "0.0",
        ),
    ],
)
def test_fee_of_each_aggregation_is_counted_anew(
    client: httpx.Client,
    usage: RecountedUsage,
    aggregation: str,
    changes: dict[str, Any],
    sent: list[tuple[str, str]],
    units: str,
) -> None:
    """One event a day from the 20th on; 31 units held for one day of 31 are one."""
    make_tokens_plan(client, aggregation, **changes)
    for day, (value, identity) in enumerate(sent, start=20):
        usage.send("acme-1", "tokens", datetime(2026, 3, day, tzinfo=UTC), value, identity=identity)
    [fee] = bill(client)
    recount = get(client, f"fees/{fee['lago_id']}/events")["recount"]
    assert (recount["units"], recount["fee_units"], recount["matches_fee"]) == (units, units, True)


def test_fee_of_a_recurring_metric_lists_what_was_carried(client: httpx.Client, usage: RecountedUsage) -> None:
    """Two seats of March and one of April are three in April."""
    make_tokens_plan(client, metric={"recurring": True})
    usage.send("acme-1", "tokens", MARCH, "2")
    bill(client)
    usage.send("acme-1", "tokens", LATE, "1")
    move_clock(client, "2026-05-01T00:00:00Z")
    fee = get(client, "fees", fee_type="charge")["fees"][-1]
    behind = get(client, f"fees/{fee['lago_id']}/events")
    assert [(event["value"], event["carried"]) for event in behind["events"]] == [("2.0", True), ("1.0", False)]
    assert (behind["recount"]["units"], behind["recount"]["matches_fee"]) == ("3.0", True)
    assert behind["recount"]["carried"] == {"events_count": 1, "units": "2.0"}


def test_fee_of_a_filter_that_is_gone_is_counted_as_it_was(client: httpx.Client, usage: RecountedUsage) -> None:
    """The filter was removed after the invoice; its events are still those behind the fee."""
    charge = make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "11", region="eu")
    usage.send("acme-1", "tokens", MARCH, "7", region="us")
    fees = bill(client)
    move_clock(client, "2026-04-01T00:00:01Z")
    path = f"/api/v1/plans/team/charges/{charge['code']}/filters/{charge['filters'][0]['lago_id']}"
    assert client.delete(path).status_code == 200
    for fee, units in zip(fees, ("11.0", "7.0"), strict=True):
        recount = get(client, f"fees/{fee['lago_id']}/events")["recount"]
        assert (recount["units"], recount["matches_fee"]) == (units, True)


def test_fee_of_an_edited_charge_says_so(client: httpx.Client, usage: RecountedUsage) -> None:
    """Units are the same, the amount is at the new price."""
    charge = make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "7")
    [fee] = bill(client)
    move_clock(client, "2026-04-01T00:00:01Z")
    body = {"charge": {"properties": {"amount": "3"}}}
    answer = client.put(f"/api/v1/plans/team/charges/{charge['code']}", json=body)
    assert answer.status_code == 200, answer.text
    recount = get(client, f"fees/{fee['lago_id']}/events")["recount"]
    assert (recount["charge_changed"], recount["matches_fee"], recount["amount_cents"]) == (True, True, 2_100)


def test_fee_of_too_many_events_is_paged_but_not_recounted(
    client: httpx.Client, usage: RecountedUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would not fit into memory is not counted, and says nothing about a match."""
    make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "1", times=4)
    [fee] = bill(client)
    monkeypatch.setattr(fee_events, "RECOUNTED_EVENTS_MAX", 3)
    behind = get(client, f"fees/{fee['lago_id']}/events", page=2, per_page=3)
    assert (len(behind["events"]), behind["meta"]["total_count"]) == (1, 4)
    assert (behind["recount"]["units"], behind["recount"]["matches_fee"]) == (None, None)


def test_fees_without_events_of_their_own_are_refused(client: httpx.Client, usage: RecountedUsage) -> None:
    """A plan's fee and a true-up: 405 not_a_charge_fee; an unknown fee is not found."""
    make_tokens_plan(client, min_amount_cents=100_000)
    usage.send("acme-1", "tokens", MARCH, "1")
    bill(client)
    plan, charge, true_up = get(client, "fees")["fees"]
    for fee in (plan, true_up):
        answer = client.get(f"/api/v1/fees/{fee['lago_id']}/events")
        assert (answer.status_code, answer.json()["code"]) == (405, "not_a_charge_fee")
    assert get(client, f"fees/{charge['lago_id']}/events")["recount"]["matches_fee"] is True
    for unknown in ("none", plan["lago_subscription_id"]):
        answer = client.get(f"/api/v1/fees/{unknown}/events")
        assert (answer.status_code, answer.json()["code"]) == (404, "fee_not_found")


def test_fee_events_while_the_usage_store_is_away_ask_to_come_back(
    client: httpx.Client, usage: RecountedUsage
) -> None:
    """503 with Retry-After, as for any other reading of usage."""
    make_tokens_plan(client)
    usage.send("acme-1", "tokens", MARCH, "1")
    [fee] = bill(client)
    usage.is_away = True
    answer = client.get(f"/api/v1/fees/{fee['lago_id']}/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
