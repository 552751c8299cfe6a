"""The ClickHouse tables as data: columns, order and projection, each with its reason.

`events` is the only truth about usage. The rolling aggregates are a projection of it: written in the same
part, atomically, so they cannot drift from the events.
"""

EVENTS_TABLE = "events"
DEAD_LETTERS_TABLE = "dead_letters"

PROJECTION_SETTINGS = "optimize_functions_to_subcolumns = 0"
"""Every query that may use `usage_hourly` runs with it: ClickHouse otherwise reads `count(value)` and
`dimensions['key']` from subcolumns, which the projection does not have, and falls back to the events."""

COMPACT_BYTES = 1024**3
"""The projection of a part stays in one file up to this size: a question about one subscription reads a granule of
each column, and a file for each costs more to open and unpack than to read. A table that was made without it gives
the same answers, more slowly."""

CREATE_EVENTS = f"""
CREATE TABLE IF NOT EXISTS events
(
    organization_id            LowCardinality(String),
    external_subscription_id   String,
    code                       LowCardinality(String),
    timestamp                  DateTime64(6, 'UTC'),
    transaction_id             String,
    event_id                   UUID                     COMMENT 'hash of its identity',
    fingerprint                UInt64                   COMMENT 'hash of what the producer said',
    properties                 String                   COMMENT 'JSON object as accepted' CODEC(ZSTD(1)),
    precise_total_amount_cents Nullable(Decimal(38, 15)),
    evaluation                 LowCardinality(String)   COMMENT 'the metric version it was evaluated by',
    value                      Nullable(Decimal(38, 18)) COMMENT 'NULL: does not enter the aggregation',
    identity                   String                   COMMENT 'what a unique count counts',
    dimensions                 Map(LowCardinality(String), String) COMMENT 'filter and pricing group keys',
    ingested_at                DateTime64(6, 'UTC'),
    kafka_partition            Int32,
    kafka_offset               Int64,
    kafka_line                 Int32,
    inserted_at                DateTime64(6, 'UTC')     DEFAULT now64(6),
    INDEX by_position (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 4,
    INDEX by_transaction transaction_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_insertion inserted_at TYPE minmax GRANULARITY 4,
    PROJECTION usage_hourly
    (
        SELECT
            organization_id, external_subscription_id, code, evaluation, dimensions, toStartOfHour(timestamp),
            count(), count(value), sum(toDecimal256(value, 18)), max(value), countIf(value < 0),
            argMaxIf(value, (timestamp, ingested_at, transaction_id), value IS NOT NULL),
            uniqExactState(identity), sumIf(toDecimal256(precise_total_amount_cents, 15), value IS NOT NULL)
        GROUP BY
            organization_id, external_subscription_id, code, evaluation, dimensions, toStartOfHour(timestamp)
    ) WITH SETTINGS (min_bytes_for_wide_part = {COMPACT_BYTES})
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (organization_id, external_subscription_id, code, timestamp)
SETTINGS non_replicated_deduplication_window = 1000, lightweight_mutation_projection_mode = 'rebuild'
"""

_USAGE_VIEW = """
CREATE OR REPLACE VIEW usage_{grain} AS
SELECT
    organization_id, external_subscription_id, code, dimensions, {bucket} AS {column},
    count(value) AS events_count, sum(toDecimal256(value, 18)) AS units_sum, max(value) AS units_max,
    finalizeAggregation(uniqExactState(identity)) AS identities
FROM events
GROUP BY organization_id, external_subscription_id, code, dimensions, {column}
SETTINGS {settings}
"""

# Written on what the projection has: the day of the hour, and identities as states, which are kept so that whole
# hours can be merged with the ragged ends of a period.
CREATE_USAGE_HOURLY = _USAGE_VIEW.format(
    grain="hourly", bucket="toStartOfHour(timestamp)", column="hour", settings=PROJECTION_SETTINGS
)
CREATE_USAGE_DAILY = _USAGE_VIEW.format(
    grain="daily", bucket="toStartOfDay(toStartOfHour(timestamp))", column="day", settings=PROJECTION_SETTINGS
)

CREATE_DEAD_LETTERS = """
CREATE TABLE IF NOT EXISTS dead_letters
(
    original        String                COMMENT 'the bytes as received',
    topic           LowCardinality(String) COMMENT 'empty when there was no broker',
    kafka_partition Int32,
    kafka_offset    Int64,
    kafka_line      Int32,
    code            LowCardinality(String) COMMENT 'stable; what went wrong',
    reason          String                COMMENT 'the same for people',
    inserted_at     DateTime64(6, 'UTC')  DEFAULT now64(6)
)
ENGINE = MergeTree
ORDER BY (kafka_partition, kafka_offset, kafka_line)
SETTINGS non_replicated_deduplication_window = 1000
"""
"""Embedded mode only: with a broker, dead letters go to its topic."""

CREATE_STATEMENTS = (CREATE_EVENTS, CREATE_USAGE_HOURLY, CREATE_USAGE_DAILY, CREATE_DEAD_LETTERS)
"""Run in this order; each is idempotent."""

DURABLE_SETTINGS = tuple(
    f"ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1"
    for table in (EVENTS_TABLE, DEAD_LETTERS_TABLE)
)
"""Embedded mode: what was acknowledged survives a power cut, not only the end of the process."""

INSERT_SETTINGS = {
    "max_partitions_per_insert_block": "0",  # a backfill spreads over many months; ingest bounds the span
    "async_insert": "0",  # an acknowledged insert is in a part
}
