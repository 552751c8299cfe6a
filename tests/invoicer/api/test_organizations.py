"""The organization over HTTP."""

import httpx
import pytest
from lago_python_client.client import Client as LagoClient
from lago_python_client.models.organization import (
    Organization as LagoOrganization,
)
from lago_python_client.models.organization import (
    OrganizationBillingConfiguration as LagoBilling,
)

from tests.invoicer.api.bodies import Json, details


def test_organization_through_the_official_client_is_changed(lago: LagoClient, client: httpx.Client) -> None:
    """Update is all the client has; the numbers' prefix is kept in capitals."""
    changed = lago.organizations.update(
        LagoOrganization(
            default_currency="EUR",
            country="fr",
            timezone="Europe/Paris",
            document_number_prefix="hoo-1",
            net_payment_term=30,
            webhook_url="https://hooli.example/hook",
            billing_configuration=LagoBilling(invoice_grace_period=2, invoice_footer="Thanks"),
        )
    )

    assert (changed.name, changed.country, changed.timezone) == ("Hooli", "FR", "Europe/Paris")
    assert (changed.document_number_prefix, changed.net_payment_term) == ("HOO-1", 30)
    assert changed.webhook_urls == ["https://hooli.example/hook"]
    assert changed.billing_configuration.invoice_footer == "Thanks"
    shown = client.get("/api/v1/organizations").json()["organization"]
    assert (shown["default_currency"], shown["billing_configuration"]["invoice_grace_period"]) == ("EUR", 2)


def test_organization_shows_every_key(client: httpx.Client) -> None:
    """The keys Lago's serializer writes, as the first organization starts."""
    organization = client.get("/api/v1/organizations").json()["organization"]
    lago_id, prefix = organization.pop("lago_id"), organization.pop("document_number_prefix")

    assert prefix == f"HOO-{lago_id[-4:].upper()}"
    assert organization == {
        "name": "Hooli",
        "slug": "hooli",
        "default_currency": "USD",
        "created_at": "2026-03-15T12:00:00Z",
        "webhook_url": None,
        "webhook_urls": [],
        "country": None,
        "address_line1": None,
        "address_line2": None,
        "state": None,
        "zipcode": None,
        "email": None,
        "city": None,
        "legal_name": None,
        "legal_number": None,
        "timezone": "UTC",
        "net_payment_term": 0,
        "email_settings": [],
        "document_numbering": "per_customer",
        "tax_identification_number": None,
        "finalize_zero_amount_invoice": True,
        "late_event_policy": "next_invoice",
        "billing_configuration": {"invoice_footer": None, "invoice_grace_period": 0, "document_locale": "en"},
        "events_store": "clickhouse",
        "taxes": [],
    }


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"document_number_prefix": "x" * 11}, {"document_number_prefix": ["value_is_too_long"]}),
        ({"document_number_prefix": " "}, {"document_number_prefix": ["value_is_mandatory"]}),
        ({"document_numbering": "per_moon"}, {"document_numbering": ["value_is_invalid"]}),
        ({"email_settings": ["spam"]}, {"email_settings.0": ["value_is_invalid"]}),
        ({"webhook_url": "hooli.example"}, {"webhook_url": ["url_is_invalid"]}),
        ({"timezone": "UTC+25"}, {"timezone": ["invalid_timezone"]}),
        ({"default_currency": "BTC"}, {"default_currency": ["value_is_invalid"]}),
        (
            {"billing_configuration": {"document_locale": "klingon"}},
            {"billing_configuration.document_locale": ["not_a_valid_language_code"]},
        ),
    ],
)
def test_organization_change_that_makes_no_sense_is_refused(
    client: httpx.Client, changes: Json, errors: Json
) -> None:
    """Every rule of an organization's fields, with its code."""
    assert details(client.put("/api/v1/organizations", json={"organization": changes})) == errors
