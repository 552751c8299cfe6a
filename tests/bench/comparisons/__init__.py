"""What Millrace is compared with: the same route with another dedup or another framework, served the same way."""

from enum import StrEnum


class ComparisonName(StrEnum):
    """What `python -m tests.bench.comparisons` can serve."""

    REDIS_ONE_BY_ONE = "redis-one-by-one"
    REDIS_PIPELINED = "redis-pipelined"
    POSTGRES_ONE_BY_ONE = "postgres-one-by-one"
    POSTGRES_BATCH = "postgres-batch"
    FASTAPI = "fastapi"
