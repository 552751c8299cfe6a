"""The cluster's description holds together: what is pinned, checked, published and built."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML ships no types

from tests.services.kafka_jars import kafka_version

CHECKOUT = Path(__file__).resolve().parents[1]
PROCESSES = ("ingest", "aggregator", "invoicer")
STORES = ("postgres", "clickhouse", "kafka")
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def dependencies(service: str) -> dict[str, str]:
    """Return what a service waits for, with the condition it waits for."""
    return {name: each["condition"] for name, each in SERVICES[service].get("depends_on", {}).items()}


def is_one_shot(service: str) -> bool:
    """Say whether others wait for this service to have ended well."""
    awaited = [dependencies(other).get(service) for other in SERVICES]
    return "service_completed_successfully" in awaited


def test_compose_has_every_service_of_the_cluster() -> None:
    """Three stores, the migration, three processes and the gateway."""
    assert set(SERVICES) == {*STORES, "migrate", *PROCESSES, "gateway"}


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_one_shot_or_has_a_health_check_with_a_start_period(service: str) -> None:
    """Nothing runs on unobserved, and a slow start is not taken for an illness."""
    if is_one_shot(service):
        assert SERVICES[service]["restart"] == "no"
    else:
        assert {"test", "interval", "timeout", "start_period"} <= set(SERVICES[service]["healthcheck"])


def test_migrate_is_the_only_one_shot_service() -> None:
    """Only the migration may end."""
    assert [service for service in SERVICES if is_one_shot(service)] == ["migrate"]


@pytest.mark.parametrize("service", SERVICES)
def test_service_waits_for_services_that_exist_and_are_ready(service: str) -> None:
    """A dependency is waited for until it is healthy or done, not merely started."""
    for name, condition in dependencies(service).items():
        assert condition == ("service_completed_successfully" if is_one_shot(name) else "service_healthy")


@pytest.mark.parametrize("process", PROCESSES)
def test_process_waits_for_the_stores_and_the_migration(process: str) -> None:
    """No process meets a store that is still starting or a schema that is still old."""
    assert set(dependencies(process)) == {*STORES, "migrate"}


@pytest.mark.parametrize("service", SERVICES)
def test_service_image_is_pinned(service: str) -> None:
    """Every image has a version: the same file starts the same cluster next year."""
    name, _, tag = SERVICES[service]["image"].partition(":")
    assert name
    assert re.match(r"\d", tag), f"{service} has the image {SERVICES[service]['image']}"


def test_kafka_image_is_the_version_that_the_tests_run() -> None:
    """What is tested is what is deployed."""
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version()}"


@pytest.mark.parametrize("service", SERVICES)
def test_service_port_is_published_to_this_machine_alone(service: str) -> None:
    """With a key that everyone knows, the cluster is reachable from this machine only, until somebody decides."""
    published = SERVICES[service].get("ports", [])
    if service == "gateway":
        assert published == ["${MILLRACE_BIND:-127.0.0.1}:3000:3000"]
    else:
        assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize(("process", "port"), [("ingest", "3001"), ("invoicer", "3002"), ("aggregator", "6066")])
def test_process_health_check_asks_the_port_it_listens_on(process: str, port: str) -> None:
    """The port set, the port checked and the port of the image are one."""
    setting = "MILLRACE_METRICS_PORT" if process == "aggregator" else "MILLRACE_PORT"
    assert SERVICES[process]["environment"][setting] == port
    assert f"127.0.0.1:{port}/health" in SERVICES[process]["healthcheck"]["test"][-1]
    assert port in dockerfile_words("EXPOSE")


@pytest.mark.parametrize("process", [*PROCESSES, "migrate"])
def test_process_setting_has_the_projects_prefix(process: str) -> None:
    """A setting without the prefix would be read by nobody."""
    settings = SERVICES[process]["environment"]
    assert [name for name in settings if not name.startswith("MILLRACE_")] == []
    assert settings["MILLRACE_DATABASE_URL"].startswith("postgresql+psycopg://")


@pytest.mark.parametrize("volume", ["postgres-data", "clickhouse-data", "kafka-data"])
def test_store_keeps_its_data_in_a_named_volume(volume: str) -> None:
    """Taking the cluster down keeps what it counted."""
    mounts = [mount for service in STORES for mount in SERVICES[service]["volumes"]]
    assert volume in COMPOSE["volumes"]
    assert [mount for mount in mounts if mount.startswith(f"{volume}:/")] != []


def test_gateway_configuration_leaves_no_dollar_to_compose() -> None:
    """A single dollar would be filled in, with nothing, before nginx reads it."""
    content = COMPOSE["configs"]["gateway"]["content"]
    assert re.findall(r"(?<!\$)\$(?:\$\$)*(?!\$)", content) == []
    assert "$$request_method" in content


@pytest.mark.parametrize(
    ("request_line", "process"),
    [
        ("POST /api/v1/events", "ingest"),
        ("POST /api/v1/events/batch", "ingest"),
        ("GET /api/v1/events", "invoicer"),
        ("POST /api/v1/events/estimate_fees", "invoicer"),
        ("POST /api/v1/events/", "invoicer"),
        ("POST /api/v1/subscriptions", "invoicer"),
        ("GET /", "invoicer"),
    ],
)
def test_gateway_map_sends_only_posted_events_to_ingest(request_line: str, process: str) -> None:
    """The two hot routes go to ingest, and everything else to the invoicer."""
    content = COMPOSE["configs"]["gateway"]["content"].replace("$$", "$")
    found = re.search(r'"~(?P<pattern>[^"]+)"\s+ingest;', content)
    assert found is not None
    assert "default" in content
    assert ("ingest" if re.search(found["pattern"], request_line) else "invoicer") == process


def test_gateway_takes_bodies_of_sixteen_megabytes() -> None:
    """A full batch of large events is not turned away before ingest has seen it."""
    assert "client_max_body_size 16m;" in COMPOSE["configs"]["gateway"]["content"]


def test_image_runs_as_another_user_than_root() -> None:
    """The last user of the image is its own."""
    assert dockerfile_words("USER") == ["millrace"]


@pytest.mark.parametrize("file", ["Dockerfile", "constraints.txt", "tests/services/kafka/pom.xml"])
def test_build_file_names_no_registry(file: str) -> None:
    """Packages come from wherever the machine's own clients are set up to look."""
    addresses = re.findall(r"https?://[^\s\"<>]+", (CHECKOUT / file).read_text())
    assert [address for address in addresses if not address.startswith("http://maven.apache.org/POM/")] == []


def test_constraints_are_plain_pins_of_everything_required() -> None:
    """Every package that pyproject.toml asks for is pinned to one version, and nothing else is said."""
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!]+", line) for line in lines]
    assert [line for line, pin in zip(lines, pins, strict=True) if pin is None] == []
    pinned = {normal_name(pin[1]) for pin in pins if pin is not None}
    assert {normal_name(name) for name in required_names()} <= pinned


def dockerfile_words(instruction: str) -> list[str]:
    """Return the words after every use of one instruction."""
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    return [word for line in lines if line.startswith(f"{instruction} ") for word in line.split()[1:]]


def required_names() -> list[str]:
    """Return the packages that pyproject.toml names, the test extra included."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["test"]
    return [re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in requirements]


def normal_name(name: str) -> str:
    """Return the name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
