"""Free TCP ports on the loopback address."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
PROBE_SECONDS = 0.05


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports that nothing listens on now.

    All are held open until the last is chosen, so no two of one call are equal. Another process may still take
    one before it is bound: a server that cannot bind says so in its log.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)


def free_port() -> int:
    """Return one port that nothing listens on now."""
    return free_ports(1)[0]


def is_listening(port: int) -> bool:
    """Say whether a server accepts connections on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until_listening(port: int, timeout_seconds: float) -> bool:
    """Wait at most `timeout_seconds` for a server on this loopback port; say whether it came."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if is_listening(port):
            return True
        time.sleep(PROBE_SECONDS)
    return is_listening(port)
