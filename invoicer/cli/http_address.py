"""An address given as an option."""

from urllib.parse import urlsplit

import typer


def http_address(text: str | None) -> str | None:
    """`text`, if a request can be sent there.

    Raises: typer.BadParameter when it is no http:// or https:// address, which no retry would change.
    """
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        reachable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        reachable = False
    if not reachable:
        raise typer.BadParameter(f"{text!r} is no http:// or https:// address")
    return text
