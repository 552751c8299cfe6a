"""Reading requests: what is refused as a whole, and that what the decoder checks changes no answer."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing import IdentifiedEvent, batch_root, parse_json, read_batch, read_single, single_root
from ingest.properties import Issues
from ingest.validation import ValidEvent, validate_event
from schemas.errors import BadRequest, InputError
from schemas.metrics import MetricEvaluator
from tests.ingest.builders import METRICS, NOW_SECONDS, ORGANIZATION, sent_event

EVALUATORS = {metric.code: MetricEvaluator(metric) for metric in METRICS}
EVENTS_MAX = 3

Answer = list[ValidEvent | Issues] | dict[str, object]


def as_object(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


IDENTIFIERS = (
    *(
        '"t"',
        '""',
        '" "',
        '"\\u00a0\\u2003"',
        '"a\\u0000"',
        '"\\\\u0000"',
        '"é😀"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
    ),
    *(f'"{"x" * 255}"', f'"{"x" * 256}"', f'"{"é" * 255}"', f'"{"é" * 256}"'),
    *("null", "7", "1.5", "true", "false", "0", "[]", "{}"),
)
CODES = ('"tokens"', '"requests"', '"users"', '"megabytes"', '"unknown"', *IDENTIFIERS)
NUMBERS = (
    *(
        "0",
        "-0",
        "12",
        "-3",
        "1.50",
        "1e5",
        "1E+2",
        "1e-7",
        "1e40",
        "-1e-40",
        "1e999999999",
        "1e99999999999999999999",
    ),
    *("9" * 18, "9" * 19, "9" * 40, "-" + "9" * 39, "-" + "9" * 40, "9" * 41, "01", "1.", "NaN"),
)
TEXTS = ('"12.5"', '"1e5"', '"abc"', '""', '"a\\u0000"', '"\\\\u0000"', '"\xff"', '"' + "9" * 19 + '"')
TIMESTAMPS = (
    *(
        f"{NOW_SECONDS}",
        f'"{NOW_SECONDS}"',
        f"{NOW_SECONDS}.25",
        f'"{NOW_SECONDS}.9999999"',
        f"{NOW_SECONDS + 86_401}",
    ),
    *("946684800", "946684799", "null", "true", '"now"', "{}"),
    *NUMBERS,
)
VALUES = st.recursive(
    st.sampled_from((*NUMBERS, *TEXTS, "null", "true", "false")),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{','.join(items)}]")
        | st.lists(inner, max_size=2).map(lambda items: "{" + ",".join(f'"k{len(v)}":{v}' for v in items) + "}")
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(('"value"', '"bytes"', '"user"', '"b"', '"a"', '"a\\u0000"', '"é"'))
PROPERTIES = (
    st.lists(st.tuples(KEYS, VALUES), max_size=4).map(as_object)
    | VALUES
    | st.just("{" + ",".join(f'"k{n}":{n}' for n in range(101)) + "}")
    | st.just('{"v":' + "[" * 10 + "]" * 10 + "}")
)
ORDINARY = {
    "transaction_id": '"t"',
    "external_subscription_id": '"s"',
    "code": '"tokens"',
    "timestamp": f"{NOW_SECONDS}",
    "properties": '{"value":12}',
}
ORDINARY_JSON = as_object([(f'"{name}"', text) for name, text in ORDINARY.items()])
FIELDS = {
    "transaction_id": st.sampled_from(IDENTIFIERS),
    "external_subscription_id": st.sampled_from(IDENTIFIERS),
    "code": st.sampled_from(CODES),
    "timestamp": st.sampled_from(TIMESTAMPS),
    "properties": PROPERTIES,
    "precise_total_amount_cents": VALUES,
    "unknown": VALUES,
}


@st.composite
def events(draw: st.DrawFn) -> str:
    """The JSON of an event that differs from an ordinary one in a few fields; a name may be there twice."""
    fields = [(f'"{name}"', text) for name, text in ORDINARY.items() if draw(st.integers(0, 9))]
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3)):
        position = draw(st.integers(0, len(fields)))
        fields.insert(position, (f'"{name}"', draw(FIELDS[name])))
    return as_object(fields)


ENTRIES = st.integers(0, 19).flatmap(lambda n: events() if n else VALUES)


def answer(read: Callable[[], list[object]]) -> Answer:
    """What a request is answered: its events or their issues, or the body of the refusal."""
    try:
        sent = read()
    except InputError as error:
        return error.body()
    return [validate_event(event, ORGANIZATION, NOW_SECONDS * 1_000_000, EVALUATORS) for event in sent]


def assert_batch_is_read_alike(body: bytes) -> None:
    assert answer(lambda: list(read_batch(body, EVENTS_MAX))) == answer(
        lambda: batch_root(parse_json(body), EVENTS_MAX)
    )


def assert_single_is_read_alike(body: bytes) -> None:
    assert answer(lambda: [read_single(body)]) == answer(lambda: [single_root(parse_json(body))])


@given(st.lists(ENTRIES, max_size=EVENTS_MAX + 1))
def test_batch_checked_by_the_decoder_has_the_answer_of_the_full_validation(sent: list[str]) -> None:
    """The decoder's checks save time and decide nothing: every event and every issue is the same."""
    assert_batch_is_read_alike(('{"events":[' + ",".join(sent) + "]}").encode("utf-8", "surrogatepass"))


@given(ENTRIES)
def test_single_event_checked_by_the_decoder_has_the_answer_of_the_full_validation(sent: str) -> None:
    """So it is for single events."""
    assert_single_is_read_alike(f'{{"event":{sent}}}'.encode())


@given(st.data())
def test_damaged_body_has_the_answer_of_the_full_validation(data: st.DataObject) -> None:
    """Bytes that are overwritten, added or lost: no JSON, or another event, but never another answer."""
    body = bytearray(f'{{"events":[{data.draw(events())},{ORDINARY_JSON}]}}'.encode())
    start = data.draw(st.integers(0, len(body) - 1))
    body[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=2))
    assert_batch_is_read_alike(bytes(body))


def test_ordinary_events_are_checked_by_the_decoder() -> None:
    """The fast way is taken by what nearly everybody sends, with numbers of any kind."""
    sent = [sent_event(), sent_event(timestamp=f"{NOW_SECONDS}.5", properties={"value": 1.5, "tags": ["a"]})]
    read = read_batch(json.dumps({"events": sent}).encode(), EVENTS_MAX)
    assert [type(event) for event in read] == [IdentifiedEvent, IdentifiedEvent]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'event':1}",
        b'{"event":NaN}',
        b'{"event":-Infinity}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[" * 1000 + b"]" * 1000,
        b"1" * 5000,
        b"1e99999999999999999999999",
    ],
)
def test_parse_json_refuses_what_is_not_json(body: bytes) -> None:
    """Malformed, too deep or unrepresentable: a bad request, never a crash."""
    with pytest.raises(BadRequest):
        parse_json(body)


@pytest.mark.parametrize(
    "document", [None, 5, [], {}, {"event": None}, {"event": {}}, {"event": 5}, {"events": []}]
)
def test_single_root_missing_or_empty_is_a_bad_request(document: object) -> None:
    """The message names the missing root."""
    with pytest.raises(BadRequest, match="bad_request") as caught:
        single_root(document)
    assert caught.value.body() == {
        "status": 400,
        "error": "BadRequest: param is missing or the value is empty or invalid: event",
    }


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "no_events"),
        ({"events": None}, "no_events"),
        ({"events": []}, "no_events"),
        ({"events": {"0": {}}}, "value_is_invalid"),
        ({"events": [{}] * 4}, "too_many_events"),
    ],
)
def test_batch_root_out_of_bounds_is_refused(document: object, code: str) -> None:
    """A batch holds at least one event and at most the limit."""
    with pytest.raises(InputError) as caught:
        batch_root(document, 3)
    assert caught.value.details == {"events": [code]}
