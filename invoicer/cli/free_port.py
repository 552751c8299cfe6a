"""Finding a port to listen on."""

import socket


def port_or_free_one(host: str, port: int) -> int:
    """`port` while nobody listens on it, else a free one.

    Raises: OSError when there is none, or no such address.
    """
    for candidate in (port, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise OSError(f"no free port on {host}")
