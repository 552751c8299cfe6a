"""Free TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket
import time
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
PROBE_SECONDS = 0.05
FIRST_PORT, END_PORT = 12_000, 32_000
"""Below the ports that systems give to outgoing connections. Of those, one chosen now may be the local end of
somebody's connection a moment later; who knocks at it until its server comes may even be connected to himself.
"""
ATTEMPTS_MAX = 1_000


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports that nothing listens on now.

    All are held open until the last is chosen, so no two of one call are equal. Another process may still take
    one before it is bound: a server that cannot bind says so in its log.
    """
    with ExitStack() as held:
        return tuple(_bind_any(held.enter_context(socket.socket())) for _ in range(count))


def _bind_any(unbound: socket.socket) -> int:
    for _ in range(ATTEMPTS_MAX):
        port = random.SystemRandom().randrange(FIRST_PORT, END_PORT)  # whatever seed a test has set
        try:
            unbound.bind((LOOPBACK, port))
        except OSError:
            continue
        return port
    raise OSError(f"no free port in {ATTEMPTS_MAX} attempts")


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
