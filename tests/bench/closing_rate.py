"""How many invoices a second one invoicer makes when many subscriptions fall due at one instant."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.closing import TENTHS, measure_closing, open_closing_site
from tests.bench.measurement import Bound, Figure, Measurement, Say, Target
from tests.bench.sizes import Sizes

EVENTS_EACH = 5
RATE_TARGET = Target(Bound.AT_LEAST, 200)
FLAT_TARGET = Target(Bound.AT_LEAST, 0.9)


def measure_closing_rate(sizes: Sizes, say: Say) -> Measurement:
    """Close one period of many subscriptions; every invoice is checked against a sum made by hand."""
    say(f"{sizes.closed_subscriptions:,} subscriptions")
    with open_closing_site() as site:
        figures = measure_closing(site, subscriptions=sizes.closed_subscriptions, events_each=EVENTS_EACH)
    spent = ", ".join(
        f"{name} {1000 * seconds / figures.invoices:.2f}" for name, seconds in figures.cpu_seconds.items()
    )
    rate = Figure(
        "invoices finalized",
        figures.per_second,
        "invoices/s",
        RATE_TARGET,
        note=f"CPU milliseconds an invoice: {spent}",
    )
    return Measurement(
        "closing_rate",
        f"closing {figures.invoices:,} subscriptions",
        f"Subscriptions of as many customers, each with {2 * EVENTS_EACH} events under two charges, one of them "
        "graduated, and taxed, fall due at one instant; the jobs of one invoicer prove, price and finalize them "
        "on PostgreSQL and ClickHouse. Each invoice is checked against a sum made by hand.",
        (rate, *_flat_figures(figures.per_second_of_tenths)),
        figures.cpu_seconds,
    )


def _flat_figures(rates: Sequence[float]) -> tuple[Figure, ...]:
    """Nothing when the invoicer does more than a tenth of the invoices at once: a tenth has no rate then."""
    if len(rates) < TENTHS:
        return ()
    return (Figure("rate of the second half, of the first", flatness(rates), "×", FLAT_TARGET),)


def flatness(rates: Sequence[float]) -> float:
    """The rate over the second half of equal amounts of work, as a multiple of that over the first half.

    1 is flat, below 1 it became slower. Bounds: at least two rates, all above 0.
    """
    half = len(rates) // 2
    return _overall(rates[half:]) / _overall(rates[:half])


def _overall(rates: Sequence[float]) -> float:
    return len(rates) / sum(1 / rate for rate in rates)
