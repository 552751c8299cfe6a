"""The OpenAPI document and the page that shows it."""

import httpx


def test_document_describes_the_routes_that_ingest_answers(client: httpx.Client) -> None:
    """The hot routes bypass FastAPI, and are described all the same."""
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths["/api/v1/events"]) == {"get", "post"}
    assert set(paths["/api/v1/events/batch"]) == {"post"}


def test_document_asks_for_the_key_wherever_it_is_needed(client: httpx.Client) -> None:
    """ "Try it out" sends the key; only health needs none."""
    paths = client.get("/openapi.json").json()["paths"]
    without = {
        path for path, operations in paths.items() for each in operations.values() if "security" not in each
    }
    assert without == {"/health", "/ready"}


def test_page_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    """It works on a machine without the internet."""
    page = client.get("/docs")
    assert page.status_code == 200
    assert "swagger-ui" in page.text
    assert "https://" not in page.text
