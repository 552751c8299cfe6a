"""The commands `millrace dead-letters list` and `replay`, and where each finds the letters."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import httpx
import typer
from rich.console import Console

from invoicer.cli.dead_letters import (
    ApiSender,
    KeptLetter,
    ReplayedLetters,
    letters_of_clickhouse,
    letters_of_topic,
    replay_letters,
    table_of,
    with_code,
)
from invoicer.cli.http_address import http_address
from invoicer.cli.replay import RUN_AGAIN, ReplayFailedError, api_client, progress_bar
from schemas.errors import TransientError
from schemas.settings import Settings

READ_SECONDS_MAX = 120.0

dead_letters = typer.Typer(
    name="dead-letters",
    help="Look at the lines that could not be counted, and send them again.\n\n"
    "A cluster's are read from the topic MILLRACE_DEAD_LETTER_TOPIC at MILLRACE_KAFKA_BOOTSTRAP_SERVERS; "
    "an embedded instance's, which has to be running, with --clickhouse-url.",
    short_help="List what could not be counted, or send it again.",
    no_args_is_help=True,
)

Code = Annotated[str | None, typer.Option(help="Only those with this code, e.g. undecodable_event.")]
ClickHouseUrl = Annotated[
    str | None,
    typer.Option(
        callback=http_address,
        help="Embedded mode: http://USER:PASSWORD@127.0.0.1:8123/millrace; port and account are on the screen at "
        "the start. (default: the cluster's topic)",
    ),
]


@dead_letters.command(name="list", short_help="Show the newest dead letters.")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show the newest so many.")] = 50,
    code: Code = None,
    clickhouse_url: ClickHouseUrl = None,
) -> None:
    """Show the newest dead letters with the reason, the place in the stream and the start of the line."""
    console = Console(emoji=False)
    try:
        letters, _ = _letters(clickhouse_url)
        table, shown, count = table_of(with_code(letters, code), limit)
    except TransientError as error:
        raise _failed(console, _unread(error, clickhouse_url)) from None
    if shown:
        console.print(table)
    console.print(f"{count:,} dead letters" + (f", the newest {shown:,} shown" if shown < count else ""))


@dead_letters.command(short_help="Send the original lines again.")
def replay(
    code: Code = None,
    clickhouse_url: ClickHouseUrl = None,
    url: Annotated[
        str,
        typer.Option(envvar="MILLRACE_URL", callback=http_address, help="Embedded mode: where Millrace listens."),
    ] = "http://127.0.0.1:3000",
    api_key: Annotated[
        str | None,
        typer.Option(envvar="MILLRACE_API_KEY", help="Embedded mode: API key of the events' organization."),
    ] = None,
) -> None:
    """Send the original lines again, each different one once; running it twice counts once.

    A line that still cannot be counted becomes a dead letter again; what is no event is skipped.

    A cluster's go to MILLRACE_USAGE_EVENTS_TOPIC, those of --clickhouse-url to POST /events/batch.
    """
    console = Console(emoji=False)
    if clickhouse_url is not None and not api_key:
        raise typer.BadParameter("give --api-key or MILLRACE_API_KEY")
    try:
        if clickhouse_url is None:
            result = _replay_to_topic(code, console)
        else:
            result = _replay_to_api(clickhouse_url, code, url, str(api_key), console)
    except ReplayFailedError as error:
        raise _failed(console, str(error)) from None
    except TransientError as error:
        raise _failed(console, f"{_unread(error, clickhouse_url)}\n{RUN_AGAIN}") from None
    for reason in result.reasons:
        console.print(f"skipped {reason}", style="yellow", markup=False, soft_wrap=True)
    if result.skipped > len(result.reasons):
        console.print(f"… and {result.skipped - len(result.reasons):,} more", style="yellow", markup=False)
    console.print(result.line())


def _letters(clickhouse_url: str | None) -> tuple[Iterable[KeptLetter], int]:
    """The letters, oldest first, and a number that there are not more of."""
    if clickhouse_url is not None:
        with httpx.Client(timeout=READ_SECONDS_MAX) as client:
            found = letters_of_clickhouse(clickhouse_url, client)
        return found, len(found)
    from aggregator.kafka import TopicReader  # noqa: PLC0415 - the driver is only loaded by who talks to a broker

    settings = Settings()
    reader = TopicReader(settings.kafka_bootstrap_servers, settings.dead_letter_topic)
    return letters_of_topic(reader), len(reader)


def _replay_to_topic(code: str | None, console: Console) -> ReplayedLetters:
    from aggregator.kafka import LineProducer  # noqa: PLC0415 - see `_letters`

    settings = Settings()
    producer = LineProducer(settings.kafka_bootstrap_servers, settings.usage_events_topic)

    def send(lines: Sequence[tuple[bytes, bytes]]) -> Mapping[int, str]:
        producer.send(lines)
        return {}

    letters, total = _letters(None)
    with progress_bar(console) as progress:
        return replay_letters(with_code(letters, code), send, progress, total, datetime.now(UTC))


def _replay_to_api(
    clickhouse_url: str, code: str | None, url: str, api_key: str, console: Console
) -> ReplayedLetters:
    letters, total = _letters(clickhouse_url)
    with api_client(url, api_key) as client, progress_bar(console) as progress:
        send = ApiSender(client).send
        return replay_letters(with_code(letters, code), send, progress, total, datetime.now(UTC))


def _unread(error: TransientError, clickhouse_url: str | None) -> str:
    """What went wrong, and where the letters were looked for when that was not said on the command line."""
    if clickhouse_url is not None:
        return str(error)
    return (
        f"{error}\nAsked were the brokers of a cluster at {Settings().kafka_bootstrap_servers} "
        "(MILLRACE_KAFKA_BOOTSTRAP_SERVERS); an embedded instance is asked with --clickhouse-url."
    )


def _failed(console: Console, message: str) -> typer.Exit:
    console.print(message, style="red", markup=False, soft_wrap=True)
    return typer.Exit(1)
