"""The results of a run: as a table for the terminal, as JSON for programs, and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from tests.bench.measurement import Bound, Comparison, Figure, Measurement, Target

HEADINGS = ("measurement", "figure", "must reach", "met", "Millrace is")


@dataclass(frozen=True)
class Run:
    """One run: what was measured, where, and how it was asked for."""

    began_at: datetime
    command: str
    is_quick: bool
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    measurements: Sequence[Measurement]


@dataclass(frozen=True)
class Row:
    """One line of the table, in the order of `HEADINGS`; `is_figure` tells ours from what we compare with."""

    cells: tuple[str, str, str, str, str]
    is_figure: bool
    is_met: bool | None


def rows(measurement: Measurement) -> Iterator[Row]:
    """The lines of one measurement: each figure, and below it what it is compared with."""
    for figure in measurement.figures:
        label = f"{measurement.title}: {figure.label}"
        value = format_value(figure.value, figure.unit)
        yield Row((label, value, _target_text(figure), _met_text(figure.is_met), ""), True, figure.is_met)
        for comparison in figure.comparisons:
            yield _comparison_row(comparison, figure.unit)


def _comparison_row(comparison: Comparison, unit: str) -> Row:
    target, advantage = comparison.target, comparison.advantage
    is_met = None if target is None or advantage is None else target.is_met(advantage)
    must = "" if target is None else f"Millrace {target.bound} {target.limit:g} × this"
    value = comparison.note if comparison.value is None else format_value(comparison.value, unit)
    advantage_text = "" if advantage is None else f"{advantage:.2f} × as fast"
    return Row((f"  vs {comparison.label}", value, must, _met_text(is_met), advantage_text), False, is_met)


def render_table(measurements: Sequence[Measurement]) -> Table:
    """The table for the terminal."""
    table = Table(title="Millrace benchmark", show_lines=False)
    for heading, justify in zip(HEADINGS, ("left", "right", "right", "center", "right"), strict=True):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # rich wants a Literal
    for measurement in measurements:
        for row in rows(measurement):
            style = "bold red" if row.is_met is False else "bold" if row.is_figure else "dim"
            table.add_row(*row.cells, style=style)
        if measurement.cpu_seconds:
            table.add_row(f"  CPU seconds: {_cpu_text(measurement)}", style="dim")
        table.add_section()
    return table


def render_json(run: Run) -> str:
    """Everything that was measured, as JSON."""
    document = {
        "began_at": run.began_at.isoformat(),
        "command": run.command,
        "quick": run.is_quick,
        "machine": dict(run.machine),
        "versions": dict(run.versions),
        "measurements": [_measurement_json(each) for each in run.measurements],
    }
    return json.dumps(document, indent=2) + "\n"


def render_markdown(run: Run) -> str:
    """The page of the documentation."""
    lines = [
        "# Benchmarks",
        "",
        f"Measured on {run.began_at:%Y-%m-%d} with `{run.command}`: {_machine_text(run)}.",
        "Written by that command; every figure and what it is compared with come from the same run. All events "
        "are new, and a measurement only stands when exactly what was acknowledged is found afterwards.",
        "",
    ]
    if run.is_quick:
        lines += ["**A quick run: it shows that everything runs, its figures are no results.**", ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|---:|---:|:---:|---:|"]
    for measurement in run.measurements:
        lines += ["| " + " | ".join(_markdown_cells(row)) + " |" for row in rows(measurement)]
    lines += ["", "## What the rows mean", ""]
    for measurement in run.measurements:
        lines += _explanation(measurement)
    lines += ["## Versions", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in run.versions.items()]
    return "\n".join(lines) + "\n"


def _explanation(measurement: Measurement) -> Iterator[str]:
    title = measurement.title[0].upper() + measurement.title[1:]
    yield f"**{title}** (`--only {measurement.name}`). {measurement.conditions}"
    if measurement.cpu_seconds:
        yield f"* CPU seconds during the load: {_cpu_text(measurement)}."
    for figure in measurement.figures:
        if figure.note:
            yield f"* {figure.label}: {figure.note}."
        for comparison in figure.comparisons:
            if comparison.note:
                yield f"* vs {comparison.label}: {comparison.note}."
    yield ""


def format_value(value: float, unit: str) -> str:
    """A value as people read it: no digits that mean nothing."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


def _markdown_cells(row: Row) -> tuple[str, ...]:
    cells = tuple(cell.strip() for cell in row.cells)
    return (f"**{cells[0]}**", f"**{cells[1]}**", *cells[2:]) if row.is_figure else cells


def _target_text(figure: Figure) -> str:
    target = figure.target
    if target is None:
        return ""
    aim = "" if target.aim is None else f", aim {target.aim:,g}"
    return f"{target.bound} {target.limit:,g} {figure.unit}{aim}"


def _met_text(is_met: bool | None) -> str:
    return "" if is_met is None else "yes" if is_met else "MISSED"


def _cpu_text(measurement: Measurement) -> str:
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in measurement.cpu_seconds.items())


def _machine_text(run: Run) -> str:
    machine = run.machine
    return ", ".join(
        (
            machine["processor"],
            f"{machine['cores']} cores",
            machine["memory"],
            machine["system"],
            machine["Python"],
        )
    )


def _measurement_json(measurement: Measurement) -> dict[str, object]:
    return {
        "name": measurement.name,
        "title": measurement.title,
        "conditions": measurement.conditions,
        "cpu_seconds": dict(measurement.cpu_seconds),
        "figures": [_figure_json(figure) for figure in measurement.figures],
    }


def _figure_json(figure: Figure) -> dict[str, object]:
    return {
        "label": figure.label,
        "value": figure.value,
        "unit": figure.unit,
        "target": _target_json(figure.target),
        "met": figure.is_met,
        "note": figure.note,
        "comparisons": [
            {
                "label": comparison.label,
                "value": comparison.value,
                "advantage": comparison.advantage,
                "target": _target_json(comparison.target),
                "note": comparison.note,
            }
            for comparison in figure.comparisons
        ],
    }


def _target_json(target: Target | None) -> dict[str, object] | None:
    if target is None:
        return None
    return {"bound": Bound(target.bound).name.lower(), "limit": target.limit, "aim": target.aim}
