"""How every process connects to the database."""

CONNECT_SECONDS_MAX = 5
SILENCE_SECONDS_MAX = 10
"""How long a server may leave what was sent unacknowledged: a machine that vanished refuses nothing."""


def driver_options(database_url: str) -> dict[str, object]:
    """What the driver is told so that a PostgreSQL that vanished is an error within seconds, not within hours.

    Any other database is a file of this machine and needs none. A server that is frozen while its machine still
    acknowledges is not noticed: only the caller can bound that.
    """
    if not database_url.startswith("postgres"):
        return {}
    return {
        "connect_timeout": CONNECT_SECONDS_MAX,
        "tcp_user_timeout": SILENCE_SECONDS_MAX * 1000,
        "keepalives_idle": SILENCE_SECONDS_MAX // 2,
        "keepalives_interval": 1,
        "keepalives_count": SILENCE_SECONDS_MAX // 2,
    }
