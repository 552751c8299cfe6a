"""Throwaway containers on a Docker daemon, where one answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.services.ports import LOOPBACK, free_port

DAEMON_SECONDS_MAX = 3


def docker_answers() -> bool:
    """Say whether a Docker daemon answers within 3 s."""
    # testcontainers is imported only here: it reads the Docker configuration when imported.
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415

    try:
        DockerClient(timeout=DAEMON_SECONDS_MAX).client.close()
    except Exception:  # noqa: BLE001  # every failure to reach a daemon, typed or not, means "no Docker here"
        return False
    return True


@contextmanager
def run_container(
    image: str, *, container_port: int, environ: Mapping[str, str], host_port: int | None = None
) -> Iterator[int]:
    """Run `image` until the block ends and yield its port on the loopback address.

    The server inside may still be starting: the caller waits for its own kind of answer.
    """
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  # as above

    port = free_port() if host_port is None else host_port
    container = DockerContainer(image, env=dict(environ))
    container.ports[str(container_port)] = (LOOPBACK, port)
    with container:
        yield port
