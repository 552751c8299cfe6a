"""Free ports are different, loopback and free."""

from __future__ import annotations

import socket

from tests.services.ports import LOOPBACK, free_port, free_ports, is_listening, wait_until_listening


def test_free_ports_twenty_asked_are_all_different() -> None:
    """Two services started together never get the same port."""
    assert len(set(free_ports(20))) == 20


def test_free_port_can_be_bound_at_once() -> None:
    """A port handed out is not held any more."""
    with socket.socket() as server:
        server.bind((LOOPBACK, free_port()))
        server.listen()
        assert is_listening(server.getsockname()[1])


def test_wait_until_listening_without_a_server_gives_up() -> None:
    """Waiting for a server that never comes is bounded and says so."""
    assert not wait_until_listening(free_port(), timeout_seconds=0.1)
