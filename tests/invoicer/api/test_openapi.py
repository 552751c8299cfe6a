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


def test_document_describes_errors_as_they_are_answered(client: httpx.Client) -> None:
    """A client generated from it reads Lago's envelope, not the framework's."""
    document = client.get("/openapi.json").json()
    error = {"$ref": "#/components/schemas/ErrorAnswer"}
    for path, operations in document["paths"].items():
        for operation in operations.values() if path.startswith("/api/v1/") else ():
            answers = {status: operation["responses"][status]["content"] for status in ("401", "404", "422")}
            assert all(content["application/json"]["schema"] == error for content in answers.values()), path
    assert "HTTPValidationError" not in document["components"]["schemas"]
    answered = client.post("/api/v1/plans", json={"plan": {}}).json()
    assert set(answered) == set(document["components"]["schemas"]["ErrorAnswer"]["properties"])


def test_document_names_every_route_by_what_it_does(client: httpx.Client) -> None:
    """The page is a list of sentences, not of function names."""
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/api/v1/invoices"]["get"]["summary"] == "List invoices by issuing date, newest first"
    summaries = [each["summary"] for operations in paths.values() for each in operations.values()]
    assert {"Create", "Show", "Update", "Delete", "List Page"}.isdisjoint(summaries)


def test_page_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    """It works on a machine without the internet."""
    page = client.get("/docs")
    assert page.status_code == 200
    assert "swagger-ui" in page.text
    assert "https://" not in page.text
