"""`python -m tests.bench`: run the measurements, print the table, write JSON and the page of the documentation.

A target that is missed is marked and fails nothing; a measurement that cannot stand (an event lost or counted
twice, a request refused) ends the run with exit code 1 after the others.
"""

from __future__ import annotations

import argparse
import gc
import logging
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import structlog
from rich.console import Console

from tests.bench.aggregator_throughput import measure_aggregator_throughput
from tests.bench.closing_rate import measure_closing_rate
from tests.bench.growth import measure_growth
from tests.bench.ingest_batches import measure_ingest_batches
from tests.bench.ingest_single import measure_ingest_single
from tests.bench.machine import describe_machine, describe_versions
from tests.bench.measurement import Measurement, Say
from tests.bench.recovery import measure_recovery
from tests.bench.report import Run, render_json, render_markdown, render_table
from tests.bench.sizes import FULL, QUICK, Sizes
from tests.bench.usage_query import measure_usage_query
from tests.bench.visibility import measure_visibility

Measure = Callable[[Sizes, Say], Measurement]
MEASURES: Mapping[str, Measure] = {
    "ingest_batches": measure_ingest_batches,
    "ingest_single": measure_ingest_single,
    "aggregator_throughput": measure_aggregator_throughput,
    "visibility": measure_visibility,
    "usage_query": measure_usage_query,
    "closing_rate": measure_closing_rate,
    "recovery": measure_recovery,
    "growth": measure_growth,
}
"""In the order in which they run; growth takes as long as all others together."""
TABLE_WIDTH = 160


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; the exit code."""
    options = _parser().parse_args(arguments)
    names = [name for name in MEASURES if (not options.only or name in options.only) and name not in options.skip]
    progress = Console(stderr=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    began_at = datetime.now(UTC)
    measurements, failures = _measure_all(names, _sizes(options), progress)
    run = Run(
        began_at=began_at,
        command=f'make bench ARGS="{shlex.join(arguments)}"' if arguments else "make bench",
        is_quick=options.quick,
        machine=describe_machine(),
        versions=describe_versions(),
        measurements=measurements,
    )
    Console(width=TABLE_WIDTH).print(render_table(measurements))
    if options.json is not None:
        options.json.write_text(render_json(run))
    if options.markdown is not None:
        options.markdown.write_text(render_markdown(run))
    for name in failures:
        progress.print(f"{name} could not be measured: see above", style="red")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--only", action="append", choices=MEASURES, default=[], help="measure this; may be repeated"
    )
    parser.add_argument("--skip", action="append", choices=MEASURES, default=[], help="leave this out")
    parser.add_argument("--quick", action="store_true", help="small amounts: does everything run?")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all results to this file")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the page of the documentation")
    parser.add_argument("--growth-events", type=int, metavar="COUNT", help="how many events `growth` stores")
    return parser


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else FULL
    return sizes if options.growth_events is None else replace(sizes, growth_events=options.growth_events)


def _measure_all(names: Sequence[str], sizes: Sizes, progress: Console) -> tuple[list[Measurement], list[str]]:
    """The measurements that stand, and the names of those that do not."""
    measurements: list[Measurement] = []
    failures: list[str] = []
    for number, name in enumerate(names, 1):
        with progress.status(name, refresh_per_second=2) as status:

            def say(text: str, shown: str = f"[{number}/{len(names)}] {name}") -> None:
                status.update(f"{shown}: {text}")
                if not progress.is_terminal:
                    progress.print(f"{shown}: {text}", markup=False)

            try:
                measurements.append(MEASURES[name](sizes, say))
            except Exception:  # noqa: BLE001  the edge of the run: the other measurements are still worth having
                progress.print(traceback.format_exc(), markup=False, highlight=False)
                failures.append(name)
            gc.collect()
    return measurements, failures


def _end(number: int, _: FrameType | None) -> None:
    """Leave every block on the way out, so that the services are stopped with the run."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
