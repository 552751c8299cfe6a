"""Credit notes through the API: created, estimated, taken, refunded, voided, listed and refused."""

from typing import Any

import httpx
import pytest

from tests.invoicer.api.billing_story import (
    get,
    invoices,
    make_calls_plan,
    make_plan,
    move_clock,
    post,
    subscribe,
)
from tests.invoicer.api.bodies import details

Json = dict[str, Any]


@pytest.fixture
def invoice(client: httpx.Client) -> Json:
    """100.00 a month in advance from 1 April, with 20 % tax: 120.00, not paid."""
    post(client, "taxes", "tax", name="VAT", code="vat", rate=20, applied_to_organization=True)
    make_calls_plan(client, amount_cents=10_000, pay_in_advance=True)
    move_clock(client, "2026-04-01T00:00:00Z")
    subscribe(client)
    [listed] = invoices(client)
    shown: Json = get(client, f"invoices/{listed['lago_id']}")["invoice"]
    return shown


def note_over(invoice: Json, item_cents: int, **changes: Any) -> Json:
    """The body of a note over the first fee."""
    item = {"fee_id": invoice["fees"][0]["lago_id"], "amount_cents": item_cents}
    return {"credit_note": {"invoice_id": invoice["lago_id"], "items": [item]} | changes}


def give_back(client: httpx.Client, invoice: Json, item_cents: int, **changes: Any) -> Json:
    """A note that was created."""
    answer = client.post("/api/v1/credit_notes", json=note_over(invoice, item_cents, **changes))
    assert answer.status_code == 200, answer.text
    created: Json = answer.json()["credit_note"]
    return created


def pay(client: httpx.Client, invoice: Json) -> None:
    body = {"invoice": {"payment_status": "succeeded"}}
    assert client.put(f"/api/v1/invoices/{invoice['lago_id']}", json=body).status_code == 200


def test_credit_note_shows_what_it_gives_back(client: httpx.Client, invoice: Json) -> None:
    """30.00 of 100.00 and 6.00 tax, as credit."""
    note = give_back(
        client,
        invoice,
        3_000,
        credit_amount_cents=3_600,
        reason="duplicated_charge",
        description="Twice",
        metadata={"ticket": "7"},
    )

    assert {key: value for key, value in note.items() if key.endswith("_cents") and value not in (0, "0.0")} == {
        "total_amount_cents": 3_600,
        "precise_total_amount_cents": "3600.0",
        "taxes_amount_cents": 600,
        "precise_taxes_amount_cents": "600.0",
        "sub_total_excluding_taxes_amount_cents": 3_000,
        "balance_amount_cents": 3_600,
        "credit_amount_cents": 3_600,
    }
    assert (note["number"], note["invoice_number"]) == (f"{invoice['number']}-CN001", invoice["number"])
    assert (note["credit_status"], note["refund_status"], note["reason"]) == (
        "available",
        None,
        "duplicated_charge",
    )
    assert (note["description"], note["metadata"], note["taxes_rate"]) == ("Twice", {"ticket": "7"}, 20.0)
    assert (note["issuing_date"], note["customer"]["external_id"]) == ("2026-04-01", "acme")
    [item] = note["items"]
    assert (item["amount_cents"], item["fee"]["lago_id"]) == (3_000, invoice["fees"][0]["lago_id"])
    [tax] = note["applied_taxes"]
    assert (tax["tax_code"], tax["base_amount_cents"], tax["amount_cents"]) == ("vat", 3_000, 600)
    assert get(client, f"credit_notes/{note['lago_id']}")["credit_note"] == note


def test_credit_note_is_shown_on_the_invoice_that_takes_it(client: httpx.Client, invoice: Json) -> None:
    """May owes 120.00 less 36.00; the note is used up."""
    note = give_back(client, invoice, 3_000, credit_amount_cents=3_600)
    move_clock(client, "2026-05-01T00:00:00Z")

    may = get(client, f"invoices/{invoices(client)[0]['lago_id']}")["invoice"]
    assert (may["credit_notes_amount_cents"], may["total_amount_cents"], may["total_due_amount_cents"]) == (
        3_600,
        8_400,
        8_400,
    )
    [credit] = may["credits"]
    assert credit.pop("lago_id")
    assert credit == {
        "amount_cents": 3_600,
        "amount_currency": "USD",
        "before_taxes": False,
        "item": {
            "lago_item_id": note["lago_id"],
            "type": "credit_note",
            "code": note["number"],
            "name": invoice["number"],
        },
        "invoice": {"lago_id": may["lago_id"], "payment_status": "pending"},
    }
    taken = get(client, f"credit_notes/{note['lago_id']}")["credit_note"]
    assert (taken["credit_status"], taken["balance_amount_cents"]) == ("consumed", 0)


def test_credit_note_refunds_what_was_paid(client: httpx.Client, invoice: Json) -> None:
    """20.00 back to the bank, 16.00 as credit; the refund is pending until somebody says otherwise."""
    pay(client, invoice)
    note = give_back(client, invoice, 3_000, credit_amount_cents=1_600, refund_amount_cents=2_000)

    assert (note["refund_status"], note["refund_amount_cents"], note["balance_amount_cents"]) == (
        "pending",
        2_000,
        1_600,
    )
    path = f"/api/v1/credit_notes/{note['lago_id']}"
    refunded = client.put(path, json={"credit_note": {"refund_status": "succeeded"}}).json()["credit_note"]
    assert (refunded["refund_status"], refunded["metadata"]) == ("succeeded", None)
    assert details(client.put(path, json={"credit_note": {"refund_status": "lost"}})) == {
        "refund_status": ["value_is_invalid"]
    }
    too_much = client.post("/api/v1/credit_notes", json=note_over(invoice, 7_000, refund_amount_cents=10_001))
    assert details(too_much)["refund_amount_cents"] == ["higher_than_remaining_invoice_amount"]


def test_credit_note_offsets_what_is_due(client: httpx.Client, invoice: Json) -> None:
    """36.00 off 120.00 leave 84.00; those off too leave nothing, and the invoice counts as paid."""
    note = give_back(client, invoice, 3_000, offset_amount_cents=3_600)
    assert (note["credit_status"], note["offset_amount_cents"]) == (None, 3_600)
    path = f"invoices/{invoice['lago_id']}"
    after = get(client, path)["invoice"]
    assert (after["total_offsetted_credit_note_amount_cents"], after["total_due_amount_cents"]) == (3_600, 8_400)
    assert (after["payment_status"], after["total_amount_cents"]) == ("pending", 12_000)

    give_back(client, invoice, 7_000, offset_amount_cents=8_400)

    settled = get(client, path)["invoice"]
    assert (settled["payment_status"], settled["total_due_amount_cents"]) == ("succeeded", 0)
    assert settled["total_paid_amount_cents"] == 0


def test_invoice_paid_after_an_offset_is_paid_less_that(client: httpx.Client, invoice: Json) -> None:
    """84.00 of 120.00 are paid after 36.00 were taken off."""
    give_back(client, invoice, 3_000, offset_amount_cents=3_600)
    pay(client, invoice)

    paid = get(client, f"invoices/{invoice['lago_id']}")["invoice"]
    assert (paid["total_paid_amount_cents"], paid["total_due_amount_cents"]) == (8_400, 0)


@pytest.mark.parametrize(
    ("item_cents", "amounts", "expected"),
    [
        (10_001, {"credit_amount_cents": 12_001}, {"amount_cents": ["higher_than_remaining_fee_amount"]}),
        (-1, {"credit_amount_cents": 1}, {"amount_cents": ["invalid_value"]}),
        (3_000, {"credit_amount_cents": 3_602}, {"base": ["does_not_match_item_amounts"]}),
        (3_000, {"credit_amount_cents": 3_598}, {"base": ["does_not_match_item_amounts"]}),
        (3_000, {}, {"base": ["total_amount_must_be_positive"]}),
        (0, {"credit_amount_cents": 1}, {"base": ["total_amount_must_be_positive"]}),
        (3_000, {"refund_amount_cents": 3_600}, {"refund_amount_cents": ["cannot_refund_unpaid_invoice"]}),
        (
            10_000,
            {"offset_amount_cents": 12_001},
            {"offset_amount_cents": ["higher_than_remaining_invoice_amount"]},
        ),
        (
            10_000,
            {"credit_amount_cents": 12_002},
            {
                "credit_amount_cents": ["higher_than_remaining_invoice_amount"],
                "base": ["does_not_match_item_amounts"],
            },
        ),
        (3_000, {"credit_amount_cents": 3_600, "reason": "mood"}, {"reason": ["value_is_invalid"]}),
        (3_000, {"credit_amount_cents": "x"}, {"credit_amount_cents": ["value_is_invalid"]}),
        (3_000, {"items": None, "credit_amount_cents": 1}, {"items": ["value_is_mandatory"]}),
        (3_000, {"items": [], "credit_amount_cents": 1}, {"base": ["total_amount_must_be_positive"]}),
    ],
)
def test_credit_note_that_does_not_add_up_is_refused(
    client: httpx.Client, invoice: Json, item_cents: int, amounts: Json, expected: Json
) -> None:
    """Everything that is wrong is named, and nothing is written."""
    refused = client.post("/api/v1/credit_notes", json=note_over(invoice, item_cents, **amounts))

    assert details(refused) == expected
    assert get(client, "credit_notes")["credit_notes"] == []


@pytest.mark.parametrize("asked", [3_599, 3_601])
def test_credit_note_a_cent_off_comes_to_what_its_items_do(
    client: httpx.Client, invoice: Json, asked: int
) -> None:
    """Whoever rounds otherwise gets our total: 36.00."""
    note = give_back(client, invoice, 3_000, credit_amount_cents=asked)

    assert (note["total_amount_cents"], note["credit_amount_cents"]) == (3_600, 3_600)


def test_refund_a_cent_off_takes_the_rounding_but_never_more_than_was_paid(
    client: httpx.Client, invoice: Json
) -> None:
    """36.00 when 35.99 are asked for; of the rest, 84.00, all is refunded and no credit made."""
    pay(client, invoice)
    first = give_back(client, invoice, 3_000, refund_amount_cents=3_599)
    rest = give_back(client, invoice, 7_000, refund_amount_cents=8_400)

    assert (first["refund_amount_cents"], first["credit_status"]) == (3_600, None)
    assert (rest["refund_amount_cents"], rest["credit_amount_cents"]) == (8_400, 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"invoice_id": "00000000-0000-0000-0000-000000000000", "items": []}, "invoice_not_found"),
        ({"invoice_id": "none", "items": []}, "invoice_not_found"),
        ({"items": [{"fee_id": "00000000-0000-0000-0000-000000000000", "amount_cents": 1}]}, "fee_not_found"),
    ],
)
@pytest.mark.parametrize("path", ["credit_notes", "credit_notes/estimate"])
def test_credit_note_over_what_is_not_there_is_not_found(
    client: httpx.Client, invoice: Json, path: str, body: Json, code: str
) -> None:
    """404, for a note and for an estimate."""
    answer = client.post(f"/api/v1/{path}", json={"credit_note": note_over(invoice, 1)["credit_note"] | body})

    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_credit_note_over_a_draft_is_not_supported(client: httpx.Client) -> None:
    """A draft changes by itself until it is final."""
    post(client, "customers", "customer", external_id="acme", billing_configuration={"invoice_grace_period": 3})
    make_plan(client, pay_in_advance=True)
    subscribe(client)
    [listed] = invoices(client)
    draft = get(client, f"invoices/{listed['lago_id']}")["invoice"]

    refused = client.post("/api/v1/credit_notes", json=note_over(draft, 100, credit_amount_cents=100))

    assert details(refused) == {"invoice_id": ["not_supported"]}


def test_estimate_tells_what_a_note_would_come_to_and_writes_none(client: httpx.Client, invoice: Json) -> None:
    """13.67 and 2.73 tax (2.734 unrounded); all of it is due and none of it paid."""
    body = note_over(invoice, 1_367)
    estimated = client.post("/api/v1/credit_notes/estimate", json=body).json()["estimated_credit_note"]

    [tax] = estimated.pop("applied_taxes")
    assert (tax["tax_code"], tax["base_amount_cents"], tax["amount_cents"]) == ("vat", 1_367, 273)
    assert estimated == {
        "lago_invoice_id": invoice["lago_id"],
        "invoice_number": invoice["number"],
        "currency": "USD",
        "taxes_amount_cents": 273,
        "precise_taxes_amount_cents": "273.4",
        "sub_total_excluding_taxes_amount_cents": 1_367,
        "max_creditable_amount_cents": 1_640,
        "max_refundable_amount_cents": 0,
        "max_offsettable_amount_cents": 1_640,
        "coupons_adjustment_amount_cents": 0,
        "precise_coupons_adjustment_amount_cents": "0.0",
        "taxes_rate": 20.0,
        "items": [{"amount_cents": 1_367, "lago_fee_id": invoice["fees"][0]["lago_id"]}],
    }
    pay(client, invoice)
    paid = client.post("/api/v1/credit_notes/estimate", json=body).json()["estimated_credit_note"]
    assert (paid["max_refundable_amount_cents"], paid["max_offsettable_amount_cents"]) == (1_640, 0)
    assert get(client, "credit_notes")["credit_notes"] == []


def test_credit_note_voided_is_not_taken_and_not_voided_again(client: httpx.Client, invoice: Json) -> None:
    """The next invoice owes all of its 120.00."""
    note = give_back(client, invoice, 3_000, credit_amount_cents=3_600)
    voided = client.put(f"/api/v1/credit_notes/{note['lago_id']}/void").json()["credit_note"]
    again = client.put(f"/api/v1/credit_notes/{note['lago_id']}/void")
    move_clock(client, "2026-05-01T00:00:00Z")

    assert (voided["credit_status"], voided["balance_amount_cents"], voided["credit_amount_cents"]) == (
        "voided",
        0,
        3_600,
    )
    assert (again.status_code, again.json()["code"]) == (405, "no_voidable_amount")
    assert invoices(client)[0]["total_amount_cents"] == 12_000


def test_refund_status_of_a_note_that_refunds_nothing_is_refused(client: httpx.Client, invoice: Json) -> None:
    """There is no refund to speak of."""
    note = give_back(client, invoice, 3_000, credit_amount_cents=3_600)
    path = f"/api/v1/credit_notes/{note['lago_id']}"

    refused = client.put(path, json={"credit_note": {"refund_status": "succeeded"}})
    noted = client.put(path, json={"credit_note": {"metadata": {"a": "1"}}})

    assert details(refused) == {"refund_status": ["value_is_invalid"]}
    assert noted.json()["credit_note"]["metadata"] == {"a": "1"}


def test_notes_on_a_credit_note_are_replaced_merged_and_removed(client: httpx.Client, invoice: Json) -> None:
    """Each answer shows what is left."""
    note = give_back(client, invoice, 3_000, credit_amount_cents=3_600, metadata={"a": "1"})
    path = f"/api/v1/credit_notes/{note['lago_id']}/metadata"
    shown = [
        client.post(path, json={"metadata": {"b": "2", "c": None}}).json(),
        client.patch(path, json={"metadata": {"a": "3"}}).json(),
        client.delete(f"{path}/b").json(),
        client.delete(path).json(),
    ]

    assert [each["metadata"] for each in shown] == [
        {"b": "2", "c": None},
        {"a": "3", "b": "2", "c": None},
        {"a": "3", "c": None},
        None,
    ]
    unknown = client.post("/api/v1/credit_notes/none/metadata", json={"metadata": {}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "credit_note_not_found")


@pytest.fixture
def listed(client: httpx.Client, invoice: Json) -> list[str]:
    """Three notes, a day apart: a credit of 36.00, a refund of 12.00, a voided credit of 24.00."""
    pay(client, invoice)
    give_back(client, invoice, 3_000, credit_amount_cents=3_600, reason="order_change")
    move_clock(client, "2026-04-02T08:00:00Z")
    give_back(client, invoice, 1_000, refund_amount_cents=1_200)
    move_clock(client, "2026-04-03T08:00:00Z")
    voided = give_back(client, invoice, 2_000, credit_amount_cents=2_400)
    client.put(f"/api/v1/credit_notes/{voided['lago_id']}/void")
    return [f"{invoice['number']}-CN{number:03d}" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"external_customer_id": "acme"}, [3, 2, 1]),
        ({"external_customer_id": "globex"}, []),
        ({"issuing_date_from": "2026-04-02"}, [3, 2]),
        ({"issuing_date_to": "2026-04-02"}, [2, 1]),
        ({"search_term": "cn002"}, [2]),
        ({"search_term": "ACME"}, [3, 2, 1]),
        ({"currency": "EUR"}, []),
        ({"reason": "order_change"}, [1]),
        ({"credit_status": "available"}, [1]),
        ({"credit_status": "voided"}, [3]),
        ({"refund_status": "pending"}, [2]),
        ({"amount_from": 1_200, "amount_to": 2_400}, [3, 2]),
        ({"self_billed": "true"}, []),
        ({"self_billed": "false"}, [3, 2, 1]),
        ({"billing_entity_codes[]": "other"}, []),
        ({"per_page": 1, "page": 2}, [2]),
    ],
)
def test_list_of_credit_notes_finds_what_it_is_asked_for(
    client: httpx.Client, listed: list[str], query: Json, expected: list[int]
) -> None:
    """Newest first."""
    found = get(client, "credit_notes", **query)["credit_notes"]

    assert [note["number"] for note in found] == [listed[number - 1] for number in expected]


def test_list_of_credit_notes_of_an_invoice_or_a_customer(
    client: httpx.Client, invoice: Json, listed: list[str]
) -> None:
    """All three are of the same invoice and the same customer."""
    of_invoice = get(client, "credit_notes", invoice_number=invoice["number"])["credit_notes"]
    of_customer = get(client, "customers/acme/credit_notes", credit_status="available")

    assert len(of_invoice) == 3
    assert ([note["number"] for note in of_customer["credit_notes"]], of_customer["meta"]["total_count"]) == (
        [listed[0]],
        1,
    )
    assert "customer" not in of_invoice[0]
    assert client.get("/api/v1/customers/nobody/credit_notes").json()["code"] == "customer_not_found"


@pytest.mark.parametrize("query", [{"reason": "mood"}, {"credit_status": "gone"}, {"issuing_date_from": "x"}])
def test_list_of_credit_notes_asked_wrongly_is_refused(client: httpx.Client, query: Json) -> None:
    """422 under the name of the filter."""
    assert details(client.get("/api/v1/credit_notes", params=query)) == {
        name: ["value_is_invalid"] for name in query
    }


@pytest.mark.parametrize("path", ["none", "00000000-0000-0000-0000-000000000000"])
def test_credit_note_that_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
    """For reading, changing and voiding."""
    answers = [
        client.get(f"/api/v1/credit_notes/{path}"),
        client.put(f"/api/v1/credit_notes/{path}", json={"credit_note": {}}),
        client.put(f"/api/v1/credit_notes/{path}/void"),
    ]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "credit_note_not_found")] * 3
