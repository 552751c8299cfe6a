"""The import directions that keep the packages apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "ingest", "aggregator", "invoicer")
USAGE_READERS = frozenset(
    {
        "aggregator.arrivals",
        "aggregator.usage",
        "aggregator.event_log",
        "aggregator.watermark",
        "aggregator.kafka",
        "aggregator.clickhouse",
        "aggregator.reconciler",
        "aggregator.observability",
    }
)
"""What the invoicer may know of the aggregator: who reads and reconciles usage, how far counting has come."""
MAY_IMPORT = {
    "schemas": {"schemas"},
    "ingest": {"ingest", "schemas"},
    "aggregator": {"aggregator", "schemas"},
    "invoicer": {"invoicer", "schemas"},
}
WIRING = Path("invoicer/embedded.py")
DRIVERS = {
    "clickhouse_connect": {"aggregator/clickhouse.py"},
    "faust": {"aggregator/agents.py"},
    "confluent_kafka": {"ingest/kafka_publisher.py", "aggregator/kafka.py"},
    "lmdb": {"aggregator/index.py", "aggregator/index_runs.py"},
}
"""A driver is imported in one place per package, so that its errors are translated in one place."""
PURE = ("invoicer/rating", "invoicer/billing/periods.py", "invoicer/billing/proration.py", "schemas")
LOG_SETUP = Path("schemas/log_setup.py")
"""Set up the same in every process, by its entry point; the pure files log nothing."""
IMPURE_MODULES = frozenset({"sqlalchemy", "fastapi", "httpx", "structlog", "clickhouse_connect", "faust", "chdb"})


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        path = ROOT / folder
        yield from [path] if path.suffix else sorted(path.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_it_may(package: str) -> None:
    """Each package stays within its allowed neighbours; only the embedded wiring knows them all."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(package)
        if path.relative_to(ROOT) != WIRING
        for module in imported_modules(path)
        if module.split(".")[0] in PACKAGES
        and module.split(".")[0] not in MAY_IMPORT[package]
        and not (package == "invoicer" and ".".join(module.split(".")[:2]) in USAGE_READERS | {"aggregator"})
    ]
    assert wrong == []


@pytest.mark.parametrize("driver", DRIVERS)
def test_driver_is_imported_in_its_own_place_only(driver: str) -> None:
    """A driver has one home, where its errors become ours."""
    homes = {
        str(path.relative_to(ROOT))
        for path in python_files(*PACKAGES)
        if any(module.split(".")[0] == driver for module in imported_modules(path))
    }
    assert homes <= DRIVERS[driver]
    assert homes, f"nobody imports {driver}: drop it from the dependencies"


def test_pure_core_does_no_input_or_output() -> None:
    """Pricing, periods and the shared language import no driver, framework or logger."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files(*PURE)
        if path.relative_to(ROOT) != LOG_SETUP
        for module in imported_modules(path)
        if module.split(".")[0] in IMPURE_MODULES
    ]
    assert wrong == []


def test_top_level_holds_only_what_belongs_there() -> None:
    """The tree shows the architecture: four packages, the tests, and what tools require."""
    tracked = {
        "pyproject.toml", "README.md", "docker-compose.yml", "ingest", "aggregator", "invoicer", "schemas",
        "tests", "Makefile", "Dockerfile", "LICENSE", "CHANGELOG.md", ".ci", ".gitignore", ".dockerignore",
        "alembic.ini", "docs", "constraints.txt",
    }  # fmt: skip
    generated = {
        ".git", ".venv", ".cache", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__",
        "build", "data", "millrace.egg-info",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir()} - generated <= tracked


@pytest.mark.parametrize("driver", sorted(DRIVERS["confluent_kafka"]))
def test_kafka_admin_client_lives_as_long_as_its_owner(driver: str) -> None:
    """One that is a local name ends while the driver's thread returns to it, and the process with it (SIGSEGV)."""
    tree = ast.parse((ROOT / driver).read_text())
    kept = {node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and is_own(node.targets[0])}
    made = {node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_named(node.func, "AdminClient")}
    assert made
    assert made <= kept


def is_own(target: ast.expr) -> bool:
    return isinstance(target, ast.Attribute) and is_named(target.value, "self")


def is_named(expression: ast.expr, name: str) -> bool:
    return isinstance(expression, ast.Name) and expression.id == name
