"""The document that describes the topics."""

import json
from pathlib import Path

from schemas.asyncapi import asyncapi_document

PUBLISHED = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_published_document_is_the_generated_one() -> None:
    """What consumers read says what the code does. `python -m schemas.asyncapi` writes it anew."""
    assert json.loads(PUBLISHED.read_text()) == asyncapi_document()


def test_document_names_every_field_of_an_event() -> None:
    """The fields of the contract, and which of them must be there."""
    event = asyncapi_document()["components"]["schemas"]["EventLine"]
    assert set(event["properties"]) == {
        "organization_id",
        "external_subscription_id",
        "transaction_id",
        "code",
        "timestamp",
        "properties",
        "precise_total_amount_cents",
        "ingested_at",
    }
    assert set(event["required"]) == {"organization_id", "transaction_id", "code", "timestamp"}
