"""Customers over HTTP."""

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models.customer import (
    Address as LagoAddress,
)
from lago_python_client.models.customer import (
    Customer as LagoCustomer,
)
from lago_python_client.models.customer import (
    CustomerBillingConfiguration as LagoBilling,
)
from lago_python_client.models.customer import (
    Metadata as LagoMetadata,
)
from lago_python_client.models.customer import (
    MetadataList as LagoMetadataList,
)

from tests.invoicer.api.bodies import Json, details, make_customer, make_tax, post


def test_customer_through_the_official_client_makes_the_round_trip(lago: LagoClient, client: httpx.Client) -> None:
    """Create, show, list, change and delete with lago-python-client."""
    post(client, "taxes", make_tax())
    created = lago.customers.create(
        LagoCustomer(
            external_id="acme/eu.1",
            name="Acme",
            country="fr",
            currency="EUR",
            timezone="Europe/Paris",
            email="billing@acme.example",
            net_payment_term=30,
            tax_codes=["vat"],
            shipping_address=LagoAddress(city="Lyon", country="fr"),
            billing_configuration=LagoBilling(
                invoice_grace_period=3, document_locale="fr", payment_provider="stripe"
            ),
            metadata=LagoMetadataList(__root__=[LagoMetadata(key="tier", value="gold", display_in_invoice=True)]),
        )
    )
    assert (created.external_id, created.country, created.applicable_timezone) == (
        "acme/eu.1",
        "FR",
        "Europe/Paris",
    )
    assert created.shipping_address.country == "FR"
    assert created.billing_configuration.invoice_grace_period == 3
    assert created.billing_configuration.payment_provider == "stripe"
    assert [tax.code for tax in created.taxes.__root__] == ["vat"]
    assert created.metadata.__root__[0].value == "gold"

    assert lago.customers.find("acme/eu.1").lago_id == created.lago_id
    renamed = lago.customers.create(LagoCustomer(external_id="acme/eu.1", name="Acme SA"))
    assert (renamed.lago_id, renamed.name, renamed.email) == (created.lago_id, "Acme SA", "billing@acme.example")
    assert [each.name for each in lago.customers.find_all()["customers"]] == ["Acme SA"]
    assert lago.customers.destroy("acme/eu.1").external_id == "acme/eu.1"
    assert lago.customers.find_all()["customers"] == []


def test_customer_when_created_shows_every_key(client: httpx.Client) -> None:
    """The keys Lago's serializer writes, with nothing but a name given."""
    prefix = client.get("/api/v1/organizations").json()["organization"]["document_number_prefix"]
    customer = post(client, "customers", make_customer())
    address = dict.fromkeys(("address_line1", "address_line2", "city", "zipcode", "state", "country"))

    assert customer == {
        "lago_id": customer["lago_id"],
        "billing_entity_code": "default",
        "external_id": "acme",
        "account_type": "customer",
        "name": "Acme",
        "firstname": None,
        "lastname": None,
        "customer_type": None,
        "sequential_id": 1,
        "slug": f"{prefix}-001",
        "created_at": "2026-03-15T12:00:00Z",
        "updated_at": "2026-03-15T12:00:00Z",
        **address,
        "email": None,
        "url": None,
        "phone": None,
        "logo_url": None,
        "legal_name": None,
        "legal_number": None,
        "currency": None,
        "tax_identification_number": None,
        "timezone": None,
        "applicable_timezone": "UTC",
        "net_payment_term": None,
        "external_salesforce_id": None,
        "finalize_zero_amount_invoice": "inherit",
        "billing_configuration": {
            "invoice_grace_period": None,
            "subscription_invoice_issuing_date_anchor": None,
            "subscription_invoice_issuing_date_adjustment": None,
            "document_locale": None,
            "payment_provider": None,
            "payment_provider_code": None,
            "provider_customer_id": None,
            "sync": None,
            "sync_with_provider": None,
            "provider_payment_methods": None,
        },
        "shipping_address": address,
        "skip_invoice_custom_sections": False,
        "metadata": [],
        "taxes": [],
        "integration_customers": [],
        "applicable_invoice_custom_sections": [],
        "error_details": [],
    }


def test_customer_change_leaves_what_is_not_named(client: httpx.Client) -> None:
    """Null and blank unset; a billing setting that is not named stays."""
    post(
        client,
        "customers",
        make_customer(
            currency="USD",
            email="a@b.example",
            url="https://acme.example",
            finalize_zero_amount_invoice="skip",
            billing_configuration={"invoice_grace_period": 3, "payment_provider": "stripe"},
        ),
    )

    customer = post(
        client,
        "customers",
        {
            "customer": {
                "external_id": "acme",
                "email": None,
                "url": "",
                "finalize_zero_amount_invoice": None,
                "billing_configuration": {"document_locale": "de", "sync": True},
            }
        },
    )

    assert (customer["name"], customer["currency"]) == ("Acme", "USD")
    assert (customer["email"], customer["url"], customer["finalize_zero_amount_invoice"]) == (None, None, "skip")
    billing = customer["billing_configuration"]
    assert (billing["invoice_grace_period"], billing["document_locale"]) == (3, "de")
    assert (billing["payment_provider"], billing["sync"]) == ("stripe", True)


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"external_id": " "}, {"external_id": ["value_is_mandatory"]}),
        ({"external_id": "x" * 256}, {"external_id": ["value_is_too_long"]}),
        ({"country": "XX"}, {"country": ["not_a_valid_country_code"]}),
        ({"currency": "XXX"}, {"currency": ["value_is_invalid"]}),
        ({"timezone": "Mars/Olympus"}, {"timezone": ["invalid_timezone"]}),
        ({"email": "nobody"}, {"email": ["invalid_email_format"]}),
        ({"net_payment_term": -1}, {"net_payment_term": ["value_is_out_of_range"]}),
        ({"customer_type": "robot"}, {"customer_type": ["value_is_invalid"]}),
        ({"account_type": "partner"}, {"account_type": ["not_supported"]}),
        ({"integration_customers": [{"integration_type": "anrok"}]}, {"integration_customers": ["not_supported"]}),
        ({"finalize_zero_amount_invoice": "maybe"}, {"finalize_zero_amount_invoice": ["invalid_value"]}),
        (
            {"billing_configuration": {"document_locale": "xx", "invoice_grace_period": 366}},
            {
                "billing_configuration.document_locale": ["not_a_valid_language_code"],
                "billing_configuration.invoice_grace_period": ["value_is_out_of_range"],
            },
        ),
        ({"metadata": [{"key": str(n), "value": "v"} for n in range(6)]}, {"metadata": ["invalid_count"]}),
        (
            {"metadata": [{"key": "k" * 21, "value": "v" * 101}]},
            {"metadata.0.key": ["value_is_too_long"], "metadata.0.value": ["value_is_too_long"]},
        ),
        (
            {"metadata": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]},
            {"key": ["value_already_exist"]},
        ),
    ],
)
def test_customer_that_makes_no_sense_is_refused(client: httpx.Client, changes: Json, errors: Json) -> None:
    """Every rule of a customer's fields, with its code."""
    assert details(client.post("/api/v1/customers", json=make_customer(**changes))) == errors


def test_customer_of_another_billing_entity_is_not_found(client: httpx.Client) -> None:
    """An organization is its own and only billing entity."""
    answer = client.post("/api/v1/customers", json=make_customer(billing_entity_code="other"))

    assert answer.json()["code"] == "billing_entity_not_found"
    assert post(client, "customers", make_customer(billing_entity_code="default"))["name"] == "Acme"


def test_customer_metadata_is_changed_by_id_and_replaced_otherwise(client: httpx.Client) -> None:
    """A note named by its id keeps it; notes that are not named go."""
    notes = [{"key": "tier", "value": "gold"}, {"key": "region", "value": "eu"}]
    tier, _ = post(client, "customers", make_customer(metadata=notes))["metadata"]

    changed = [{"id": tier["lago_id"], "key": "tier", "value": "silver"}, {"key": "since", "value": "2026"}]
    metadata = post(client, "customers", make_customer(metadata=changed))["metadata"]

    assert sorted((note["key"], note["value"]) for note in metadata) == [("since", "2026"), ("tier", "silver")]
    assert tier["lago_id"] in {note["lago_id"] for note in metadata}
    assert post(client, "customers", make_customer(name="Acme SA"))["metadata"] == metadata


def test_customer_when_deleted_frees_its_external_id(client: httpx.Client) -> None:
    """The next one with that id is another customer with another number."""
    first = post(client, "customers", make_customer())

    client.delete("/api/v1/customers/acme")

    assert client.get("/api/v1/customers/acme").json()["code"] == "customer_not_found"
    second = post(client, "customers", make_customer())
    assert second["lago_id"] != first["lago_id"]
    assert (first["sequential_id"], second["sequential_id"]) == (1, 2)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search_term=ACM", ["acme"]),
        ("search_term=%25", []),
        ("countries[]=FR&countries[]=DE", ["acme", "globex"]),
        ("currencies[]=USD", ["globex"]),
        ("customer_type=company", ["acme"]),
        ("has_customer_type=false", ["globex", "initech"]),
        ("has_tax_identification_number=true", ["globex"]),
        ("metadata[tier]=gold", ["acme"]),
        ("metadata[tier]=", ["globex", "initech"]),
        ("account_type[]=partner", []),
        ("billing_entity_codes[]=default", ["acme", "globex", "initech"]),
        ("billing_entity_codes[]=other", []),
        ("states[]=CA&zipcodes[]=94107", ["initech"]),
    ],
)
def test_customers_are_found_by_what_they_have_in_common(
    client: httpx.Client, query: str, found: list[str]
) -> None:
    """The filters of the list, one or several at once."""
    notes = [{"key": "tier", "value": "gold"}]
    post(client, "customers", make_customer(country="FR", customer_type="company", metadata=notes))
    globex = make_customer(
        external_id="globex", name="Globex", country="DE", currency="USD", tax_identification_number="DE1"
    )
    post(client, "customers", globex)
    post(client, "customers", make_customer(external_id="initech", name="Initech", state="CA", zipcode="94107"))

    answer = client.get(f"/api/v1/customers?{query}").json()

    assert sorted(customer["external_id"] for customer in answer["customers"]) == found
    assert answer["meta"]["total_count"] == len(found)
