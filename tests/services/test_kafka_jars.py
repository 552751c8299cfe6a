"""The jars are fetched once, whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.services.errors import ServiceUnavailable
from tests.services.kafka_jars import POM, KafkaJars, fetch_kafka_jars, kafka_version, locate_kafka_jars

FETCHING_MAVEN = """#!/bin/sh
for word; do case "$word" in -DoutputDirectory=*) target="${word#*=}";; esac; done
mkdir -p "$target" && echo run >> "$(dirname "$0")/runs" && touch "$target/kafka.jar"
"""
FAILING_MAVEN = """#!/bin/sh
echo 'Could not resolve kafka_2.13' && exit 1
"""


def make_maven(folder: Path, script: str) -> str:
    program = folder / "mvn"
    program.write_text(script)
    program.chmod(0o755)
    return str(program)


def make_jars(folder: Path) -> KafkaJars:
    return locate_kafka_jars({"MILLRACE_TEST_CACHE": str(folder / "cache")})


def test_kafka_version_of_the_pom_is_a_kafka_4() -> None:
    """The broker is a KRaft-only Kafka, of one exact version."""
    assert re.fullmatch(r"4\.\d+\.\d+", kafka_version())


def test_pom_names_no_repository() -> None:
    """Maven asks whatever repository the machine is set up with."""
    assert "<repositor" not in POM.read_text()


def test_locate_kafka_jars_without_a_variable_is_in_the_checkouts_cache() -> None:
    """The jars are kept in `.cache` of the checkout, by version."""
    jars = locate_kafka_jars({})
    assert jars.folder.parts[-2:] == (".cache", f"kafka-{kafka_version()}")


def test_fetch_kafka_jars_twice_runs_maven_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second fetch finds the jars and says nothing."""
    jars, maven = make_jars(tmp_path), make_maven(tmp_path, FETCHING_MAVEN)
    fetch_kafka_jars(jars, maven)
    fetch_kafka_jars(jars, maven)
    assert [file.name for file in sorted(jars.folder.iterdir())] == ["kafka.jar", "pom.xml"]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert capsys.readouterr().out.count("fetching Apache Kafka") == 1


def test_fetch_kafka_jars_of_an_older_pom_are_replaced(tmp_path: Path) -> None:
    """Jars fetched from a pom that has changed since do not count as fetched."""
    jars, maven = make_jars(tmp_path), make_maven(tmp_path, FETCHING_MAVEN)
    jars.folder.mkdir(parents=True)
    (jars.folder / "stale.jar").touch()
    (jars.folder / "pom.xml").write_text("<project/>")
    fetch_kafka_jars(jars, maven)
    assert [file.name for file in sorted(jars.folder.iterdir())] == ["kafka.jar", "pom.xml"]


def test_fetch_kafka_jars_when_maven_fails_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    """A failed fetch carries Maven's words and leaves no folder that looks complete."""
    jars = make_jars(tmp_path)
    with pytest.raises(ServiceUnavailable, match=r"Could not resolve kafka_2\.13"):
        fetch_kafka_jars(jars, make_maven(tmp_path, FAILING_MAVEN))
    assert list(jars.folder.parent.iterdir()) == []
