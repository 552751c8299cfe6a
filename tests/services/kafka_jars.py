"""The jars of Apache Kafka, fetched once by Maven and kept in the test cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.services.errors import ServiceUnavailable

CACHE_VARIABLE = "MILLRACE_TEST_CACHE"
CHECKOUT = Path(__file__).resolve().parents[2]
POM = Path(__file__).resolve().parent / "kafka" / "pom.xml"
# 45 MB of jars and plugins: six seconds on a good line, minutes on a bad one.
FETCH_SECONDS_MAX = 600
ERROR_CHARACTERS_MAX = 2000


@dataclass(frozen=True)
class KafkaJars:
    """A folder with every jar of one Apache Kafka broker."""

    version: str
    folder: Path

    @property
    def class_path(self) -> str:
        return str(self.folder / "*")

    @property
    def are_fetched(self) -> bool:
        """Say whether the folder was filled from the pom as it is now."""
        kept = self.folder / POM.name
        return kept.exists() and kept.read_bytes() == POM.read_bytes()


def kafka_version() -> str:
    """Return the version of Apache Kafka that the pom names."""
    root = ElementTree.parse(POM).getroot()
    version = root.findtext("{*}properties/{*}kafka.version")
    if version is None:
        raise ServiceUnavailable(f"{POM} names no kafka.version")
    return version


def locate_kafka_jars(environ: Mapping[str, str]) -> KafkaJars:
    """Return where the jars are or will be, fetched or not; fetches nothing."""
    cache = Path(environ.get(CACHE_VARIABLE) or CHECKOUT / ".cache")
    version = kafka_version()
    return KafkaJars(version=version, folder=cache.absolute() / f"kafka-{version}")


def fetch_kafka_jars(jars: KafkaJars, maven: str) -> None:
    """Fill the jars' folder with Maven, or leave it as it is when it is already filled.

    The folder appears in one rename, so a fetch cut short leaves nothing that looks complete.

    Raises:  ServiceUnavailable with the end of Maven's output.
    """
    if jars.are_fetched:
        return
    print(f"fetching Apache Kafka {jars.version} with Maven into {jars.folder} (about 45 MB, once)", flush=True)
    jars.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".kafka-", dir=jars.folder.parent) as partial:
        target = Path(partial) / "jars"
        _copy_dependencies(maven, target)
        shutil.copyfile(POM, target / POM.name)
        if jars.folder.exists() and not jars.are_fetched:
            shutil.rmtree(jars.folder)
        if not jars.folder.exists():
            target.rename(jars.folder)


def _copy_dependencies(maven: str, target: Path) -> None:
    command = [
        maven,
        "--quiet",
        "--batch-mode",
        f"--file={POM}",
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={target}",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False, env=os.environ
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceUnavailable(f"Maven fetched no Kafka jars within {FETCH_SECONDS_MAX} s") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-ERROR_CHARACTERS_MAX:]
        raise ServiceUnavailable(f"Maven could not fetch the Kafka jars:\n{output}")
