"""How much each measurement does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Amounts of one run. Seconds are of load, after the warm-up."""

    warm_up_seconds: float
    load_seconds: float
    comparison_seconds: float
    aggregator_events: int
    visibility_seconds: float
    stored_events: int
    settle_seconds: int
    usage_queries: int
    indexed_events: int
    closed_subscriptions: int
    growth_first_events: int
    growth_events: int


FULL = Sizes(
    warm_up_seconds=10,  # the broker compiles its own code while it is warmed up, on the same cores
    load_seconds=15,
    comparison_seconds=6,
    aggregator_events=1_000_000,
    visibility_seconds=20,
    stored_events=5_000_000,
    settle_seconds=45,  # at 5,000 events/s the broker's compiler takes half a core for so long
    usage_queries=400,
    indexed_events=1_000_000,
    closed_subscriptions=10_000,
    growth_first_events=1_000_000,
    growth_events=50_000_000,
)
QUICK = Sizes(
    warm_up_seconds=1,
    load_seconds=3,
    comparison_seconds=2,
    aggregator_events=300_000,
    visibility_seconds=6,
    stored_events=500_000,
    settle_seconds=3,
    usage_queries=60,
    indexed_events=100_000,
    closed_subscriptions=500,
    growth_first_events=200_000,
    growth_events=1_000_000,
)
"""Says whether everything runs, in a few minutes; its figures are no results."""
