"""Every setting of every process, from the environment (`MILLRACE_*`)."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.topics import AGGREGATOR_GROUP, DEAD_LETTERS, USAGE_EVENTS


class Settings(BaseSettings):
    """One class for all processes, so a name means the same everywhere; each reads what it needs."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", extra="ignore")

    host: str = Field("127.0.0.1", description="Address the HTTP API listens on.")
    port: int = Field(3000, ge=0, le=65535, description="Port of the HTTP API; 0 takes a free one.")
    api_key: SecretStr | None = Field(None, description="API key of the first organization; made when absent.")
    organization_name: str = Field("Millrace", description="Name of the first organization.")
    data_dir: Path = Field(Path("data"), description="Embedded mode: where everything is kept.")
    test_clock: datetime | None = Field(
        None, description="Start a clock that only moves when told: embedded, or with a single invoicer."
    )

    clickhouse_http_port: int = Field(
        8123, ge=0, le=65535, description="Embedded mode: port of the ClickHouse HTTP interface."
    )
    clickhouse_http_user: str = Field(
        "default", description="Embedded mode: user of the ClickHouse HTTP interface."
    )
    clickhouse_http_password: SecretStr | None = Field(
        None, description="Embedded mode: its password; made when absent."
    )
    clickhouse_http_writable: bool = Field(
        False, description="Embedded mode: let the ClickHouse HTTP interface write."
    )

    database_url: str = Field(
        "sqlite:///data/catalog.sqlite", description="Catalog: postgresql+psycopg:// or sqlite:///"
    )
    clickhouse_url: str = Field(
        "http://default:@127.0.0.1:8123/millrace",
        description="Cluster: http://user:password@host:port/database",
    )
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="Cluster: Kafka brokers.")
    usage_events_topic: str = Field(USAGE_EVENTS, description="Topic of accepted events.")
    dead_letter_topic: str = Field(DEAD_LETTERS, description="Topic of events that can never be counted.")
    aggregator_group: str = Field(AGGREGATOR_GROUP, description="Consumer group of the aggregator.")
    aggregator_session_seconds: float = Field(
        6.0, ge=1, description="Seconds after which a silent aggregator loses its partitions."
    )
    usage_events_partitions: int = Field(12, ge=1, le=1024, description="Partitions a new topic gets.")
    kafka_replication_factor: int = Field(1, ge=1, le=9, description="Replicas a new topic gets.")
    index_dir: Path = Field(Path("data/index"), description="Directory of the aggregator's dedup index.")
    index_retention_days: int = Field(
        45,
        ge=1,
        le=3_650,
        description="Days that the dedup index remembers an event; ClickHouse is asked about older ones.",
    )

    batch_events_max: int = Field(10_000, ge=1, le=100_000, description="Events a batch request may hold.")
    body_bytes_max: int = Field(8_000_000, ge=1024, description="Bytes a request to ingest may have.")
    pack_linger_ms: int = Field(5, ge=0, le=1000, description="How long ingest gathers events into packs.")
    pack_events_max: int = Field(1_000, ge=1, le=50_000, description="Events a pack may hold.")
    dedup_window_events: int = Field(1_000_000, ge=0, description="Ids the ingest window remembers.")
    dedup_window_seconds: int = Field(3_600, ge=0, description="How long the ingest window remembers an id.")
    publish_timeout_seconds: float = Field(10.0, gt=0, description="How long ingest waits for the broker's ack.")
    catalog_refresh_seconds: float = Field(
        1.0, gt=0, description="How often the catalog is looked at for changes."
    )

    flush_events_max: int = Field(50_000, ge=1, description="Events the aggregator inserts at once.")
    flush_seconds_max: float = Field(0.5, gt=0, description="How long the aggregator gathers before it inserts.")
    scheduler_seconds: float = Field(1.0, gt=0, description="How often due billing jobs are looked for.")
    reconcile_seconds: float = Field(30.0, gt=0, description="How often newly stored events are reconciled.")
    reconcile_lookback_seconds: int = Field(
        86_400, ge=0, description="How far back the first reconciliation after a start looks."
    )
    dead_letter_run_max: int = Field(
        1_000, ge=0, description="Bad lines in a row of a partition before the aggregator ends; 0 is no limit."
    )
    dead_letter_ratio_max: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of bad lines among a partition's last 1,000 before the aggregator ends; 0 is no limit.",
    )
    metrics_port: int = Field(6066, ge=0, le=65535, description="Aggregator: port of /health and /metrics.")
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")
    log_level: str = Field(
        "info",
        pattern="^(?i:debug|info|warn|warning|error|fatal|critical|notset)$",
        description="Lowest level that is logged.",
    )

    @field_validator("test_clock")
    @classmethod
    def _utc_unless_it_says_otherwise(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def settings_or_exit() -> Settings:
    """The environment's settings, for a process that starts.

    Raises: SystemExit with a line for every faulty variable; whoever starts it needs no traceback to mend them.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = (f"MILLRACE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise SystemExit("\n".join(faults)) from None
