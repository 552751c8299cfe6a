"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.services.kafka_jars import kafka_version
from tests.services.postgres import find_postgres_programs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "chdb", "clickhouse-connect", "confluent-kafka", "faust-streaming", "granian", "uvloop", "msgspec", "lmdb",
    "numpy", "pyarrow", "fastapi", "starlette", "pydantic", "psycopg", "sqlalchemy",
)  # fmt: skip
REDIS_SERVERS = ("redis-server", "valkey-server")


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, operating system and Python."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def describe_versions() -> dict[str, str]:
    """The versions of Millrace, of the services and of the packages that matter for speed."""
    services = {
        "Millrace commit": first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]),
        "Apache Kafka": kafka_version(),
        "Java": first_line(["java", "-version"]),
        "PostgreSQL": _postgres_version(),
        "Redis": first_line([find_redis_server() or "", "--version"]),
    }
    return services | {package: version(package) for package in PACKAGES}


def find_redis_server() -> str | None:
    """The Redis server of this machine, or its twin Valkey; None without one."""
    return next((path for name in REDIS_SERVERS if (path := shutil.which(name))), None)


def first_line(command: list[str]) -> str:
    """The first line a program prints; "not there" without it, "unknown" when it fails."""
    if shutil.which(command[0]) is None:
        return "not there"
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = done.stdout.splitlines()
    return lines[0] if lines and done.returncode == 0 else "unknown"


def _postgres_version() -> str:
    programs = find_postgres_programs()
    return "not there" if programs is None else first_line([str(programs.folder / "postgres"), "--version"])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
