"""Taxes over HTTP."""

import httpx
from lago_python_client.client import Client as LagoClient
from lago_python_client.models.tax import Tax as LagoTax

from tests.invoicer.api.bodies import details, make_customer, make_tax, post


def test_tax_through_the_official_client_makes_the_round_trip(lago: LagoClient) -> None:
    """Create, show, list, change and delete with lago-python-client."""
    created = lago.taxes.create(LagoTax(name="VAT", code="vat/fr.20", rate=20.5, applied_to_organization=True))
    assert (created.code, created.rate, created.applied_to_organization) == ("vat/fr.20", 20.5, True)
    assert created.created_at == "2026-03-15T12:00:00Z"

    assert lago.taxes.find("vat/fr.20").lago_id == created.lago_id
    assert lago.taxes.update(LagoTax(name="TVA"), "vat/fr.20").name == "TVA"
    listed = lago.taxes.find_all({"per_page": 2})
    assert [tax.name for tax in listed["taxes"]] == ["TVA"]
    assert listed["meta"]["total_count"] == 1
    lago.taxes.destroy("vat/fr.20")
    assert lago.taxes.find_all()["taxes"] == []


def test_tax_when_created_shows_every_key(client: httpx.Client) -> None:
    """The keys Lago's serializer writes, with the rate as a JSON number."""
    answer = client.post("/api/v1/taxes", json=make_tax(rate="20.5", description="standard"))

    assert answer.status_code == 200
    tax = answer.json()["tax"]
    assert tax.pop("lago_id")
    assert tax == {
        "name": "VAT",
        "code": "vat",
        "rate": 20.5,
        "description": "standard",
        "applied_to_organization": False,
        "applied_to_billing_entities_codes": [],
        "add_ons_count": 0,
        "customers_count": 0,
        "plans_count": 0,
        "charges_count": 0,
        "commitments_count": 0,
        "created_at": "2026-03-15T12:00:00Z",
    }


def test_tax_with_a_taken_code_is_refused(client: httpx.Client) -> None:
    """On creation and on change; a deleted tax gives its code back."""
    post(client, "taxes", make_tax())
    post(client, "taxes", make_tax(code="other"))

    assert details(client.post("/api/v1/taxes", json=make_tax())) == {"code": ["value_already_exist"]}
    taken = client.put("/api/v1/taxes/other", json={"tax": {"code": "vat"}})
    assert details(taken) == {"code": ["value_already_exist"]}

    client.delete("/api/v1/taxes/vat")
    assert post(client, "taxes", make_tax())["code"] == "vat"


def test_tax_change_leaves_what_is_not_named(client: httpx.Client) -> None:
    """Null unsets the description; for a name it means nothing was said."""
    post(client, "taxes", make_tax(description="standard"))

    changed = client.put("/api/v1/taxes/vat", json={"tax": {"rate": 5.5, "name": None, "description": None}})

    tax = changed.json()["tax"]
    assert (tax["rate"], tax["name"], tax["description"]) == (5.5, "VAT", None)


def test_tax_when_deleted_leaves_the_customers_it_was_applied_to(client: httpx.Client) -> None:
    """A customer of a deleted tax is a customer without taxes."""
    post(client, "taxes", make_tax())
    post(client, "customers", make_customer(tax_codes=["vat"]))

    assert client.delete("/api/v1/taxes/vat").json()["tax"]["code"] == "vat"

    assert client.get("/api/v1/customers/acme").json()["customer"]["taxes"] == []


def test_tax_applied_to_the_organization_shows_there(client: httpx.Client) -> None:
    """The organization is its own and only billing entity."""
    tax = post(client, "taxes", make_tax(applied_to_organization=True))

    assert tax["applied_to_billing_entities_codes"] == ["default"]
    organization = client.get("/api/v1/organizations").json()["organization"]
    assert [each["code"] for each in organization["taxes"]] == ["vat"]
