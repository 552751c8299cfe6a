"""Queries sent as forms, as the driver sends parameters that are too long for an address."""

from __future__ import annotations

import clickhouse_connect
import httpx
import pytest

from tests.services.clickhouse import EmbeddedClickHouse

NAMES = [f"it's €\r\n\\ {number}" for number in range(2_000)]


def test_parameters_too_long_for_an_address_arrive_whole(server: EmbeddedClickHouse) -> None:
    """Two thousand odd names, which clickhouse-connect sends as a form."""
    client = clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    )
    query = "SELECT arrayJoin({names:Array(String)})"
    assert [row[0] for row in client.query(query, parameters={"names": NAMES}).result_rows] == NAMES
    client.close()


def test_fields_of_a_form_count_as_those_of_the_address(http: httpx.Client) -> None:
    """Query, parameters and settings; the address may hold some of them."""
    fields = {"query": (None, "SELECT {a:UInt8} + {b:UInt8}, getSetting('max_threads')"), "param_a": (None, "1")}
    answer = http.post("/", params={"param_b": "2"}, files={**fields, "max_threads": (None, "1")})
    assert answer.text == "3\t1\n"


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("multipart/form-data", b"", "36"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELE',
            "36",
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "36"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n\xff\r\n--x--\r\n',
            "36",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n',
            "48",
        ),
    ],
    ids=["no boundary", "cut off", "no name", "no text", "external table"],
)
def test_form_that_cannot_be_read_is_refused(
    http: httpx.Client, content_type: str, body: bytes, code: str
) -> None:
    """With ClickHouse's codes for a bad argument and for what is not there."""
    answer = http.post("/", headers={"Content-Type": content_type}, content=body)
    assert answer.headers["X-ClickHouse-Exception-Code"] == code


def test_form_to_a_read_only_server_writes_nothing(read_only_server: EmbeddedClickHouse) -> None:
    """What a form asks for is checked as any other query."""
    with httpx.Client(base_url=read_only_server.url) as http:
        answer = http.post("/", files={"query": (None, "INSERT INTO shop.events VALUES (9, 'x')")})
        assert answer.is_error
        assert http.post("/", files={"query": (None, "SELECT count() FROM shop.events")}).text == "3\n"
