"""The commands and their options. Every option of `up` is also an environment variable `MILLRACE_*`."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from pydantic import ValidationError
from rich.console import Console

from invoicer.cli.api_key_commands import api_keys
from invoicer.cli.csv_events import CsvMapping
from invoicer.cli.dead_letter_commands import dead_letters
from invoicer.cli.http_address import http_address
from invoicer.cli.replay import ReplayFailedError, ReplayTarget, replay
from schemas.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # its tables cut the names of long options off at 80 columns
    pretty_exceptions_enable=False,
)
app.add_typer(dead_letters)
app.add_typer(api_keys)

DataDir = Annotated[
    Path | None, typer.Option(envvar="MILLRACE_DATA_DIR", help="Where everything is kept. (default: data)")
]
Host = Annotated[
    str | None, typer.Option(envvar="MILLRACE_HOST", help="Address to listen on. (default: 127.0.0.1)")
]
Port = Annotated[
    int | None, typer.Option(envvar="MILLRACE_PORT", help="Port of the API; 0 takes a free one. (default: 3000)")
]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="MILLRACE_API_KEY", help="API key; made and kept in the data directory when absent."),
]
ClickHousePort = Annotated[
    int | None,
    typer.Option(
        envvar="MILLRACE_CLICKHOUSE_HTTP_PORT",
        help="Port of the ClickHouse HTTP interface; 0 takes a free one. (default: 8123)",
    ),
]
ClickHousePassword = Annotated[
    str | None,
    typer.Option(
        envvar="MILLRACE_CLICKHOUSE_HTTP_PASSWORD",
        help="Its password; made and kept in the data directory when absent.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("millrace"))
        raise typer.Exit


@app.callback()
def every_command(
    shows_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Usage-based billing on an event stream: every accepted event is billed exactly once."""


@app.command(short_help="Start Millrace in one process.")
def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    clickhouse_http_port: ClickHousePort = None,
    clickhouse_http_password: ClickHousePassword = None,
    clickhouse_http_writable: Annotated[
        bool | None,
        typer.Option(
            envvar="MILLRACE_CLICKHOUSE_HTTP_WRITABLE",
            help="Let the ClickHouse HTTP interface write. (default: no)",
        ),
    ] = None,
    test_clock: Annotated[
        str | None,
        typer.Option(
            envvar="MILLRACE_TEST_CLOCK", help="ISO 8601 instant: start a clock that only moves when told."
        ),
    ] = None,
) -> None:
    """Start Millrace in one process: API, aggregation, billing and a ClickHouse HTTP interface."""
    with _loading():
        from invoicer.cli.up import run_until_stopped  # noqa: PLC0415 - chDB is heavy: only who runs it loads it

    settings = _settings(
        data_dir=data_dir,
        host=host,
        port=port,
        api_key=api_key,
        clickhouse_http_port=clickhouse_http_port,
        clickhouse_http_password=clickhouse_http_password,
        clickhouse_http_writable=clickhouse_http_writable,
        test_clock=test_clock,
    )
    run_until_stopped(settings, Console(emoji=False))


@app.command(short_help="Walk from a metric to an invoice.")
def demo(
    port: Port = None,
    clickhouse_http_port: ClickHousePort = None,
    leave: Annotated[bool, typer.Option("--exit", help="End the process after the walk.")] = False,
) -> None:
    """Walk through usage billing, from a metric to an invoice, over the real HTTP API."""
    with _loading():
        from invoicer.cli.demo import run_demo  # noqa: PLC0415 - see `up`

    settings = _settings(port=port, clickhouse_http_port=clickhouse_http_port)
    raise typer.Exit(run_demo(settings, Console(emoji=False), leave=leave))


@app.command(
    name="replay",
    short_help="Send the rows of a CSV file as events.",
    context_settings={"auto_envvar_prefix": "MILLRACE_REPLAY"},
)
def replay_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV file with a header line.")],
    subscription: Annotated[str, typer.Option(help="A column, or else the external subscription id itself.")],
    code: Annotated[str, typer.Option(help="Code of the billable metric.")],
    prop: Annotated[list[str] | None, typer.Option("--property", help="Column to send; repeat it.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column with ISO 8601 or epoch seconds.")] = None,
    transaction_id: Annotated[
        str | None, typer.Option(help="Column with the transaction id; derived from the row when absent.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Zone of timestamps that name none.")] = "UTC",
    url: Annotated[
        str, typer.Option(envvar="MILLRACE_URL", callback=http_address, help="Where Millrace listens.")
    ] = "http://127.0.0.1:3000",
    api_key: Annotated[str | None, typer.Option(envvar="MILLRACE_API_KEY", help="API key.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=10_000, help="Events a request.")] = 1_000,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
) -> None:
    """Send the rows of a CSV file as events. Running it twice bills once."""
    console = Console(emoji=False)
    if not api_key:
        raise typer.BadParameter("give --api-key or MILLRACE_API_KEY")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"no time zone is called {timezone!r}") from None
    mapping = CsvMapping(code, subscription, timestamp, tuple(prop or ()), transaction_id, zone)
    target = ReplayTarget(url, api_key, batch_size, concurrency)
    try:
        result = replay(file, mapping, target, console)
    except ReplayFailedError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None
    for reason in result.reasons:
        console.print(f"rejected {reason}", style="yellow", markup=False)
    if result.rejected > len(result.reasons):
        console.print(f"… and {result.rejected - len(result.reasons):,} more", style="yellow", markup=False)
    console.print(result.line())
    raise typer.Exit(1 if result.rejected else 0)


@contextmanager
def _loading() -> Iterator[None]:
    """While chDB is loaded, which takes seconds: says so to a person, and lets Ctrl-C end the process.

    chDB tells an interrupted import as an engine that is not installed.
    """
    if sys.stderr.isatty():
        typer.echo("Starting …", err=True)
    heard = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


def _settings(**options: Any) -> Settings:
    """The environment's settings, with what was given on the command line on top."""
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(clock := given.get("test_clock"), str):
        given["test_clock"] = _instant(clock)
    try:
        return Settings(**given)
    except ValidationError as error:
        issues = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(issues) from None


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 instant") from None
