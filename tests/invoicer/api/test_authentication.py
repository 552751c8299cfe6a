"""Who may call the API."""

import httpx
import pytest

from tests.invoicer.conftest import API_KEY

UNAUTHORIZED = {"status": 401, "error": "Unauthorized"}


@pytest.mark.parametrize("header", [None, "", "Bearer", API_KEY, "Bearer nobody's", f"Bearer  x {API_KEY}"])
def test_call_without_a_known_key_is_refused(anonymous: httpx.Client, header: str | None) -> None:
    """No header, no second word, or a second word that is no organization's key."""
    headers = {} if header is None else {"Authorization": header}

    answer = anonymous.get("/api/v1/taxes", headers=headers)

    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token"])
def test_call_with_the_key_as_second_word_is_let_in(anonymous: httpx.Client, scheme: str) -> None:
    """The scheme's name is not looked at."""
    answer = anonymous.get("/api/v1/taxes", headers={"Authorization": f"{scheme} {API_KEY}"})

    assert answer.status_code == 200


ANSWERED_BY_INGEST = {("post", "/api/v1/events"), ("post", "/api/v1/events/batch")}
"""Described by this application and served in front of it, where the key is checked too."""


def test_every_documented_route_below_the_prefix_asks_for_a_key(anonymous: httpx.Client) -> None:
    """No route was forgotten: each answers 401 to a caller without a key."""
    paths = anonymous.get("/openapi.json").json()["paths"]
    operations = [(method, path) for path, methods in paths.items() for method in methods]
    guarded = [each for each in operations if each[1].startswith("/api/v1/") and each not in ANSWERED_BY_INGEST]

    answers = {each: anonymous.request(each[0], each[1]).status_code for each in guarded}

    assert len(guarded) > 20
    assert {each: status for each, status in answers.items() if status != 401} == {}
