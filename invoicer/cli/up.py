"""`millrace up`: one embedded instance, until it is told to stop."""

from rich.console import Console

from invoicer.embedded import (
    CannotListenError,
    DataDirectoryInUseError,
    DataDirectoryUnusableError,
    EmbeddedMillrace,
)
from schemas.settings import Settings


def run_until_stopped(settings: Settings, console: Console) -> None:
    """Serve until SIGINT or SIGTERM; everything is kept in the data directory."""
    try:
        with EmbeddedMillrace(settings) as instance:
            _greet(instance, console)
            instance.wait()
    except (CannotListenError, DataDirectoryInUseError, DataDirectoryUnusableError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


def _greet(instance: EmbeddedMillrace, console: Console) -> None:
    clock = " (it only moves when told)" if instance.settings.test_clock else ""
    console.rule("Millrace", align="left")
    lines = (
        *instance.addresses(),
        f"Data        {instance.settings.data_dir}",
        f"Clock       {instance.now().isoformat(timespec='seconds')}{clock}",
        "Ctrl-C ends it; the data stays.",
    )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
