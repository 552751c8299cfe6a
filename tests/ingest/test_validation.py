"""What is an event, and what is wrong with what is not."""

from decimal import Decimal

import pytest

from ingest.properties import Issues
from ingest.validation import ValidEvent, validate_event
from schemas.events import decode_line, encode_line
from schemas.metrics import MetricEvaluator
from tests.ingest.builders import METRICS, NOW_SECONDS, ORGANIZATION, JsonObject, sent_event

NOW_US = NOW_SECONDS * 1_000_000
EVALUATORS = {metric.code: MetricEvaluator(metric) for metric in METRICS}


def check(sent: object) -> ValidEvent | Issues:
    return validate_event(sent, ORGANIZATION, NOW_US, EVALUATORS)


def valid(**changes: object) -> ValidEvent:
    checked = check(sent_event(**changes))
    assert isinstance(checked, ValidEvent), checked
    return checked


@pytest.mark.parametrize(
    ("changes", "issues"),
    [
        ({"transaction_id": None}, {"transaction_id": ["value_is_mandatory"]}),
        ({"transaction_id": ""}, {"transaction_id": ["value_is_mandatory"]}),
        ({"transaction_id": "  "}, {"transaction_id": ["value_is_mandatory"]}),
        ({"transaction_id": 7}, {"transaction_id": ["value_is_invalid"]}),
        ({"transaction_id": "a\0"}, {"transaction_id": ["value_is_invalid"]}),
        ({"transaction_id": "x" * 256}, {"transaction_id": ["value_is_too_long"]}),
        ({"code": None}, {"code": ["value_is_mandatory"]}),
        ({"code": ["tokens"]}, {"code": ["value_is_invalid"]}),
        ({"code": "x" * 10_000}, {"code": ["value_is_too_long"]}),
        ({"external_subscription_id": 5}, {"external_subscription_id": ["value_is_invalid"]}),
        ({"external_subscription_id": "x" * 256}, {"external_subscription_id": ["value_is_too_long"]}),
        ({"timestamp": "2026-08-21T10:00:00Z"}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": "1e9"}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": ""}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": True}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": {}}, {"timestamp": ["invalid_format"]}),
        ({"timestamp": 946_684_799}, {"timestamp": ["value_is_out_of_range"]}),
        ({"timestamp": -1}, {"timestamp": ["value_is_out_of_range"]}),
        ({"timestamp": NOW_SECONDS + 86_401}, {"timestamp": ["value_is_out_of_range"]}),
        ({"timestamp": str(NOW_SECONDS * 1000)}, {"timestamp": ["value_is_out_of_range"]}),
        ({"timestamp": "9" * 100}, {"timestamp": ["value_is_out_of_range"]}),
        ({"timestamp": Decimal("1E+999999999")}, {"timestamp": ["value_is_out_of_range"]}),
        ({"properties": []}, {"properties": ["value_is_invalid"]}),
        ({"properties": "value=1"}, {"properties": ["value_is_invalid"]}),
        ({"properties": {"value": 10**18}}, {"properties.value": ["value_is_out_of_range"]}),
        ({"properties": {"value": "1000000000000000000"}}, {"properties.value": ["value_is_out_of_range"]}),
        (
            {"properties": {"value": Decimal("0.0000000000000000001")}},
            {"properties.value": ["value_is_out_of_range"]},
        ),
        ({"precise_total_amount_cents": "twelve"}, {"precise_total_amount_cents": ["value_is_invalid"]}),
        ({"precise_total_amount_cents": False}, {"precise_total_amount_cents": ["value_is_invalid"]}),
        ({"precise_total_amount_cents": "1."}, {"precise_total_amount_cents": ["value_is_invalid"]}),
        (
            {"precise_total_amount_cents": "0.0000000000000001"},
            {"precise_total_amount_cents": ["value_is_out_of_range"]},
        ),
        ({"precise_total_amount_cents": 10**18}, {"precise_total_amount_cents": ["value_is_out_of_range"]}),
        (
            {"precise_total_amount_cents": Decimal("1E+999999999")},
            {"precise_total_amount_cents": ["value_is_out_of_range"]},
        ),
    ],
)
def test_event_with_one_wrong_field_names_it(changes: JsonObject, issues: Issues) -> None:
    """Each wrong field is answered with its code."""
    assert check(sent_event(**changes)) == issues


def test_event_with_many_wrong_fields_names_all_of_them() -> None:
    """The caller sees every issue at once."""
    sent = {"code": 5, "timestamp": "now", "properties": {"a": "\0"}, "precise_total_amount_cents": []}
    assert check(sent) == {
        "transaction_id": ["value_is_mandatory"],
        "code": ["value_is_invalid"],
        "timestamp": ["invalid_format"],
        "properties.a": ["value_is_invalid"],
        "precise_total_amount_cents": ["value_is_invalid"],
    }


@pytest.mark.parametrize("sent", [None, 5, "event", [], [{}]])
def test_event_that_is_no_object_is_invalid(sent: object) -> None:
    """A batch may hold anything; what is no object is no event."""
    assert check(sent) == {"event": ["value_is_invalid"]}


@pytest.mark.parametrize(
    ("timestamp", "expected_us"),
    [
        (NOW_SECONDS, NOW_US),
        (str(NOW_SECONDS), NOW_US),
        ("1700158623.9799", 1_700_158_623_979_900),
        (Decimal("1700158623.9799"), 1_700_158_623_979_900),
        (Decimal("1700158623.99999999"), 1_700_158_623_999_999),
        (Decimal("1.7E+9"), 1_700_000_000_000_000),
        (946_684_800, 946_684_800_000_000),
        (NOW_SECONDS + 86_400, NOW_US + 86_400_000_000),
        (None, NOW_US),
    ],
)
def test_timestamp_is_kept_to_the_microsecond(timestamp: object, expected_us: int) -> None:
    """Numbers and texts of seconds; digits past the microsecond are cut; none at all is the reception time."""
    assert valid(timestamp=timestamp).event.timestamp_us == expected_us


def test_timestamp_equal_to_the_reception_stays_a_sent_timestamp() -> None:
    """Read back from the stream, the event has the fingerprint it was accepted with."""
    for event in (valid(timestamp=NOW_SECONDS).event, valid(timestamp=None).event):
        assert decode_line(encode_line(event), received_at_us=0) == event


def test_event_without_optional_fields_or_with_nulls_is_valid() -> None:
    """An explicit null is as good as an absent field."""
    bare = check({"transaction_id": "t", "code": "unknown"})
    nulls = check(
        {
            "transaction_id": "t",
            "code": "unknown",
            "external_subscription_id": None,
            "timestamp": None,
            "properties": None,
            "precise_total_amount_cents": None,
        }
    )
    assert isinstance(bare, ValidEvent)
    assert bare == nulls
    assert bare.event.external_subscription_id == ""
    assert bare.event.properties_json == b"{}"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1234, "1234"),
        ("1234.5", "1234.5"),
        (Decimal("0.000000000000001"), "0.000000000000001"),
        ("-3", "-3"),
        ("999999999999999999.999999999999999", "999999999999999999.999999999999999"),
    ],
)
def test_precise_amount_is_kept_exactly(amount: object, expected: str) -> None:
    """Numbers and texts with up to 18 digits and 15 decimals lose nothing."""
    assert valid(precise_total_amount_cents=amount).event.precise_total_amount_cents == Decimal(expected)


@pytest.mark.parametrize(
    "value", [0, "12.5", "abc", None, True, 10**18 - 1, Decimal("0.000000000000000001"), ["12"], "1e5"]
)
def test_value_that_is_countable_or_no_number_is_accepted(value: object) -> None:
    """Only a number past the documented precision is refused; a non-number is stored and does not count."""
    assert valid(properties={"value": value}).event.code == "tokens"


def test_large_value_of_an_unmeasured_field_is_accepted() -> None:
    """Only the measured property has the precision of a quantity."""
    assert valid(properties={"value": 1, "account": 10**30}).event.properties_json == (
        b'{"account":1000000000000000000000000000000,"value":1}'
    )


def test_expression_result_is_shown_but_not_published() -> None:
    """The answer shows the result in the measured field; the published event keeps what was sent."""
    checked = valid(code="megabytes", properties={"bytes": 2500})
    assert checked.event.properties_json == b'{"bytes":2500}'
    assert checked.shown_properties == b'{"bytes":2500,"value":"2.5"}'


def test_expression_that_fails_is_answered_with_its_message() -> None:
    """An event its metric cannot evaluate is refused, with the reason."""
    issues = check(sent_event(code="megabytes", properties={"megs": 1}))
    assert isinstance(issues, dict)
    assert list(issues) == ["properties"]
    assert "bytes" in issues["properties"][0]


def test_expression_result_past_the_precision_is_refused() -> None:
    """The bounds of a quantity hold for what the expression computes."""
    issues = check(sent_event(code="megabytes", properties={"bytes": "9" * 25}))
    assert issues == {"properties.value": ["value_is_out_of_range"]}
