"""The reconciliation over HTTP."""

import httpx

from invoicer.db import Organization
from schemas.errors import TransientError
from tests.invoicer.fakes import FakeAuditor


def test_reconciliation_before_any_check_has_none(client: httpx.Client) -> None:
    """Nothing was found, because nobody looked."""
    answer = client.get("/api/v1/reconciliation")
    assert answer.status_code == 200
    assert answer.json() == {
        "reconciliation": {
            "difference": 0,
            "last": None,
            "last_full": None,
            "duplicates_found_total": 0,
            "duplicates_removed_total": 0,
        }
    }


def test_reconciliation_on_demand_checks_the_caller_s_organization(
    client: httpx.Client, auditor: FakeAuditor, organization: Organization
) -> None:
    """The answer is the report with the check just made, and stays it."""
    answer = client.post("/api/v1/reconciliation")
    assert answer.status_code == 200
    assert answer.json()["reconciliation"] == {
        "difference": 0,
        "last": None,
        "last_full": {
            "at": "2026-03-15T12:00:00Z",
            "checked_events": 12,
            "duplicates_found": 2,
            "duplicates_removed": 2,
            "projection_difference": 0,
            "difference": 0,
        },
        "duplicates_found_total": 2,
        "duplicates_removed_total": 2,
    }
    assert list(auditor.checked) == [str(organization.id)]
    assert client.get("/api/v1/reconciliation").json() == answer.json()


def test_reconciliation_with_the_store_away_is_unavailable(client: httpx.Client, auditor: FakeAuditor) -> None:
    """It may be asked for again."""
    auditor.error = TransientError("clickhouse", "away in this test")
    answer = client.post("/api/v1/reconciliation")
    assert (answer.status_code, answer.json()["code"]) == (503, "clickhouse_unavailable")


def test_reconciliation_without_a_key_is_refused(anonymous: httpx.Client) -> None:
    """Both routes belong to an organization."""
    assert anonymous.get("/api/v1/reconciliation").status_code == 401
    assert anonymous.post("/api/v1/reconciliation").status_code == 401
