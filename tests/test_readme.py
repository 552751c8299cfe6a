"""The README says what is so."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from aggregator.observability import AggregatorMetrics, LagMetrics, ReconcilerMetrics
from ingest.metrics import IngestMetrics
from invoicer.jobs.job_metrics import JobMetrics
from schemas.settings import Settings

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_readme_lists_every_setting_with_its_default() -> None:
    """A setting that is not in the table, or whose row has aged, is a trap for whoever runs Millrace."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `MILLRACE_{name.upper()}` | {default} | {field.description} |")
    assert [row for row in rows if row not in README] == []
    assert README.count("| `MILLRACE_") == len(rows)


def test_readme_lists_every_measurement() -> None:
    """What /metrics shows and nobody knows of is not watched."""
    registry = CollectorRegistry()
    for measurements in (AggregatorMetrics, LagMetrics, ReconcilerMetrics, IngestMetrics, JobMetrics):
        measurements(registry)
    names = {family.name.removeprefix("millrace_") for family in registry.collect()}
    assert {name for name in names if f"`{name}`" not in README} == set()
