"""The bounds of the HTTP interface."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class HttpLimits:
    """What one client may ask of the engine it shares with the pipeline."""

    body_bytes_max: int = 256 * MIB
    """A request body, after decompression."""

    queries_max: int = 8
    """Queries that run at the same time; each holds one engine handle and one thread."""

    waiting_max: int = 64
    """Requests that may wait for a handle or still send their body; the next one is turned away at once."""

    wait_seconds_max: float = 30.0
    """How long a request waits for a handle before it is answered 503."""

    execution_seconds_max: int = 300
    """`max_execution_time` of a query: the default of a writable interface, the ceiling of a read-only one."""

    memory_bytes_max: int = 2048 * MIB
    """`max_memory_usage` of a read-only query, which must not starve the pipeline in the same process."""

    buffer_bytes: int = 4 * MIB
    """How much of a result is held back so that an error in it can still be answered with its own status."""
