"""Every accepted event is counted once, whatever is sent again and whoever is killed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.end_to_end import story
from tests.end_to_end.conftest import cluster_on
from tests.services.millrace import EmbeddedInstance, Instance

_names = count()


@pytest.fixture
def subscription(instance: Instance) -> str:
    """A subscription of its own for one test, under a plan that sums `n`."""
    name = f"once-{next(_names)}"
    metric = story.sum_metric(instance, name, "n")
    story.plan(instance, name, [story.standard_charge(metric, "1")])
    story.subscribe(instance, name, name, name)
    return name


def test_one_id_sent_by_many_clients_at_once_counts_once(instance: Instance, subscription: str) -> None:
    """64 clients, one transaction id: one acceptance, one unit."""
    body = {"event": story.event(subscription, subscription, "same", {"n": 1}, timestamp=story.MORNING)}
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: instance.ingest.post("events", json=body), range(64)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["event"]["duplicate"] for answer in answers].count(False) == 1
    story.wait_for_units(instance, subscription, subscription, {subscription: "1.0"})


def test_half_known_batch_keeps_the_new_half(instance: Instance, subscription: str) -> None:
    """Known events are reported, new ones are kept, and the first content of an id stands."""
    story.send(
        instance,
        [story.event(subscription, subscription, f"b-{i}", {"n": 1}, timestamp=story.MORNING) for i in range(50)],
    )
    answers = story.send(
        instance,
        [
            story.event(subscription, subscription, f"b-{i}", {"n": 5 if i < 25 else 1}, timestamp=story.MORNING)
            for i in range(100)
        ],
    )
    assert [answer["duplicate"] for answer in answers] == [True] * 50 + [False] * 50
    assert [bool(answer.get("conflict")) for answer in answers] == [True] * 25 + [False] * 75
    story.wait_for_units(instance, subscription, subscription, {subscription: "100.0"})


def test_same_id_in_other_scopes_is_another_event(instance: Instance, subscription: str) -> None:
    """Hyphens move between the parts; each combination is an event of its own."""
    events = [
        story.event(sub, subscription, transaction, {"n": 1}, timestamp=story.MORNING)
        for sub, transaction in ((subscription, "x-c"), (f"{subscription}-x", "c"), (subscription, "x"))
    ]
    assert [answer["duplicate"] for answer in story.send(instance, events)] == [False, False, False]
    story.wait_for_units(instance, subscription, subscription, {subscription: "2.0"})


def test_events_before_their_metric_count_when_it_appears(instance: Instance) -> None:
    """An unknown code is stored; the metric that comes later finds its events."""
    metric = story.sum_metric(instance, "seed", "n")
    story.plan(instance, "late-metric", [story.standard_charge(metric, "1")])
    story.subscribe(instance, "late-metric", "late-metric", "late-metric")
    story.send(
        instance,
        [story.event("late-metric", "not-yet", f"e-{i}", {"n": "2.5"}, timestamp=story.MORNING) for i in range(4)],
    )
    listed = instance.api.get("events", params={"code": "not-yet"})
    story.wait_for(
        lambda: instance.api.get("events", params={"code": "not-yet"}).json()["meta"]["total_count"] == 4,
        "four events in the list",
    )
    assert listed.status_code == httpx.codes.OK
    later = story.sum_metric(instance, "not-yet", "n")
    story.plan(instance, "late-metric-2", [story.standard_charge(later, "1")])
    story.subscribe(instance, "late-metric-2", "late-metric-2", "late-metric-2")
    story.send(instance, [story.event("late-metric-2", "not-yet", "own", {"n": 1}, timestamp=story.MORNING)])
    story.wait_for_units(instance, "late-metric-2", "late-metric-2", {"not-yet": "1.0"})
    charge = story.standard_charge(later, "1")
    unwrapped = instance.api.post("plans/late-metric/charges", json={"charge": charge})
    assert unwrapped.status_code == httpx.codes.OK, unwrapped.text
    story.wait_for_units(instance, "late-metric", "late-metric", {"not-yet": "10.0", "seed": "0.0"})


@pytest.mark.faults
def test_embedded_process_killed_under_load_keeps_what_it_acknowledged(data_dir: Path) -> None:
    """SIGKILL in the middle of requests: every 200 is there afterwards, and a full resend changes nothing else."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with EmbeddedInstance(data_dir) as instance:
        metric = story.sum_metric(instance, "crash", "n")
        story.plan(instance, "crash", [story.standard_charge(metric, "1")])
        story.subscribe(instance, "crash", "crash", "crash")
        batches = [
            [story.event("crash", "crash", f"{batch}-{i}", {"n": 1}) for i in range(100)] for batch in range(200)
        ]
        acknowledged = _send_until_killed(instance, batches)
        assert acknowledged, "the process was killed before anything was acknowledged"
        instance.server.start()
        known = [event["transaction_id"] for batch in sorted(acknowledged) for event in batches[batch]]
        counted = story.units_by_metric(story.current_usage(instance, "crash", "crash"))["crash"]
        assert float(counted) >= len(known)
        everything = [event for batch in batches for event in batch]
        halves = everything[:10_000], everything[10_000:]
        answers = [answer for half in halves for answer in story.send(instance, half)]
        resent_as_new = {answer["transaction_id"] for answer in answers if not answer["duplicate"]}
        assert not resent_as_new & set(known), "an acknowledged event was lost"
        story.wait_for_units(instance, "crash", "crash", {"crash": "20000.0"})


def _send_until_killed(instance: EmbeddedInstance, batches: list[list[story.Json]]) -> set[int]:
    acknowledged: set[int] = set()
    enough = threading.Event()

    def post(number: int) -> None:
        try:
            response = instance.ingest.post("events/batch", json={"events": batches[number]})
        except httpx.TransportError:
            return
        if response.status_code == httpx.codes.OK:
            acknowledged.add(number)
            if len(acknowledged) >= 20:
                enough.set()

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(post, number) for number in range(len(batches))]
        assert enough.wait(30), "no acknowledgement within 30 s"
        instance.server.kill()
        for future in futures:
            future.result()
    return acknowledged


@pytest.mark.cluster
@pytest.mark.faults
def test_cluster_processes_killed_under_load_lose_and_double_nothing(request: pytest.FixtureRequest) -> None:
    """SIGKILL of a worker and of ingest, a second worker joins: the total is what was sent, to the last unit."""
    with cluster_on(request) as cluster:
        metric = story.sum_metric(cluster, "kill", "n")
        story.plan(cluster, "kill", [story.standard_charge(metric, "1")])
        story.subscribe(cluster, "kill", "kill", "kill")
        for number in range(4):
            story.subscribe(cluster, f"kill-{number}", "kill", f"kill-{number}")
        for wave in range(6):
            for number in range(4):
                events = [story.event(f"kill-{number}", "kill", f"{wave}-{i}", {"n": "0.1"}) for i in range(1_000)]
                story.send(cluster, events)
                story.send(cluster, events[:500])
            if wave == 1:
                cluster.workers[0].kill()
                cluster.workers[0].start(wait=False)
            if wave == 3:
                cluster.add_worker()
            if wave == 4:
                cluster.ingest_process.kill()
                cluster.ingest_process.start()
        for number in range(4):
            story.wait_for_units(cluster, f"kill-{number}", f"kill-{number}", {"kill": "600.0"})
