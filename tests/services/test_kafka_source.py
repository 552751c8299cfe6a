"""The Kafka that a run uses is chosen by what the environment and the machine offer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.errors import ServiceUnavailable
from tests.services.kafka_source import KafkaMeans, KafkaSource, choose_kafka, find_java

EVERYTHING = KafkaMeans(
    docker=True, java="/opt/java", maven="/opt/mvn", jars_fetched=True, tansu=Path("/opt/tansu")
)
NOTHING = KafkaMeans(docker=False, java=None, maven=None, jars_fetched=False, tansu=None)
NAMED = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092"}


@pytest.mark.parametrize(
    ("environ", "means", "source"),
    [
        (NAMED, EVERYTHING, KafkaSource.ENVIRONMENT),
        (NAMED, NOTHING, KafkaSource.ENVIRONMENT),
        ({**NAMED, "CI": "true"}, NOTHING, KafkaSource.ENVIRONMENT),
        ({}, EVERYTHING, KafkaSource.CONTAINER),
        ({}, replace(EVERYTHING, docker=False), KafkaSource.JARS),
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, replace(EVERYTHING, docker=False), KafkaSource.JARS),
        ({}, replace(EVERYTHING, docker=False, maven=None), KafkaSource.JARS),
        ({}, replace(EVERYTHING, docker=False, jars_fetched=False), KafkaSource.JARS),
        ({"CI": "true"}, replace(EVERYTHING, docker=False), KafkaSource.JARS),
        ({}, replace(EVERYTHING, docker=False, java=None), KafkaSource.TANSU),
        ({}, replace(EVERYTHING, docker=False, maven=None, jars_fetched=False), KafkaSource.TANSU),
    ],
)
def test_choose_kafka_takes_the_first_that_can_work(
    environ: dict[str, str], means: KafkaMeans, source: KafkaSource
) -> None:
    """A named broker comes first, then a container, then the jars, and tansu last."""
    assert choose_kafka(environ, means) is source


def test_choose_kafka_in_ci_with_only_tansu_fails_and_says_what_is_missing() -> None:
    """A green CI run never rests on a broker that is not Apache Kafka."""
    with pytest.raises(ServiceUnavailable, match=r"CI must run Apache Kafka.*`java`.*`mvn`"):
        choose_kafka({"CI": "true"}, replace(NOTHING, tansu=Path("/opt/tansu")))


def test_choose_kafka_with_nothing_names_every_missing_program() -> None:
    """The error tells which programs to install, or which variable to set."""
    with pytest.raises(ServiceUnavailable, match=r"`java`.*`mvn`.*KAFKA_BOOTSTRAP_SERVERS"):
        choose_kafka({}, NOTHING)


def test_choose_kafka_without_maven_does_not_blame_java() -> None:
    """Only what is really missing is named."""
    with pytest.raises(ServiceUnavailable) as raised:
        choose_kafka({}, replace(NOTHING, java="/opt/java"))
    assert "`java`" not in str(raised.value)
    assert "`mvn`" in str(raised.value)


def test_find_java_with_java_home_prefers_it(tmp_path: Path) -> None:
    """JAVA_HOME wins over the PATH, as Kafka's own scripts have it."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.touch()
    assert find_java({"JAVA_HOME": str(tmp_path)}) == str(program)
