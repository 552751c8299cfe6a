"""Events straight into PostgreSQL, where a unique index keeps repeats out: the layout Lago starts with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg

from schemas.events import Event, Outcome
from schemas.time_text import from_microseconds

CONNECTIONS = 16
TABLE = "usage_events_unique"
CREATE = (
    f"""
    CREATE TABLE {TABLE} (
        id uuid PRIMARY KEY,
        organization_id text NOT NULL,
        external_subscription_id text NOT NULL,
        transaction_id text NOT NULL,
        code text NOT NULL,
        timestamp timestamptz NOT NULL,
        properties jsonb NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    f"CREATE UNIQUE INDEX ON {TABLE} (organization_id, external_subscription_id, transaction_id)",
    # Usage has to be read from somewhere.
    f"CREATE INDEX ON {TABLE} (organization_id, external_subscription_id, code, timestamp)",
)
_ONE = f"""
INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s) ON CONFLICT DO NOTHING RETURNING id
"""
_MANY = f"""
INSERT INTO {TABLE} SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::jsonb[], %s::timestamptz[]
) ON CONFLICT DO NOTHING RETURNING id
"""
Row = tuple[object, ...]


class PostgresUnique:
    """An `EventPublisher` that inserts; a request is one transaction, with one statement or with one an event."""

    def __init__(self, url: str, *, statement_per_event: bool) -> None:
        self._url = url
        self._statement_per_event = statement_per_event
        self._idle: asyncio.Queue[psycopg.AsyncConnection[Row]] = asyncio.Queue()

    async def start(self) -> None:
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(await psycopg.AsyncConnection.connect(self._url))

    async def stop(self) -> None:
        while not self._idle.empty():
            await self._idle.get_nowait().close()

    async def check(self) -> None:
        """A connection that is gone shows in the next request."""

    async def publish(self, events: Sequence[Event]) -> Sequence[Outcome]:
        connection = await self._idle.get()
        try:
            async with connection.transaction():
                inserted = await self._insert(connection, [_row(event) for event in events])
        finally:
            self._idle.put_nowait(connection)
        return [Outcome.ACCEPTED if event.uuid in inserted else Outcome.DUPLICATE for event in events]

    async def _insert(self, connection: psycopg.AsyncConnection[Row], rows: Sequence[Row]) -> set[object]:
        if not self._statement_per_event:
            columns = [list(column) for column in zip(*rows, strict=True)]
            cursor = await connection.execute(_MANY, columns)
            return {row[0] for row in await cursor.fetchall()}
        inserted: set[object] = set()
        for row in rows:
            cursor = await connection.execute(_ONE, row)
            inserted.update(found[0] for found in await cursor.fetchall())
        return inserted


def _row(event: Event) -> Row:
    return (
        event.uuid,
        event.organization_id,
        event.external_subscription_id,
        event.transaction_id,
        event.code,
        from_microseconds(event.timestamp_us),
        event.properties_json.decode(),
        from_microseconds(event.ingested_at_us),
    )
