"""Whether an invoice has seen an event: when the event arrived, and when the usage of the invoice was read."""

from dataclasses import dataclass
from datetime import datetime

from invoicer.billing.billing_items import InvoicingReason
from invoicer.db import BillingPeriod


@dataclass(frozen=True)
class Arrivals:
    """Tells when an event arrived, on the clock that invoices are made by.

    On the machine's clock that is when the store took it: an event accepted in time but counted after the usage
    was read is not on the invoice. A test clock has nothing in common with the store's, so there it is when the
    event was accepted, which is the same: a test clock stands still until everything accepted is counted.
    """

    on_test_clock: bool

    def of(self, *, ingested_at: datetime, inserted_at: datetime) -> datetime:
        """The instant the event could be read from on."""
        return ingested_at if self.on_test_clock else inserted_at


@dataclass(frozen=True)
class ReadInstant:
    """When the usage behind an invoice was read: `at` is taken just before.

    What arrives while an invoice is being priced, seconds at most, may be on it although it counts as unseen
    here, until late events have been looked for: see `late_events.known`.
    """

    at: datetime
    at_end_of_period: bool

    @classmethod
    def of(cls, period: BillingPeriod, at: datetime) -> "ReadInstant":
        """Of usage read at `at` for a billing period.

        A periodic invoice is made as its period ends: on a clock that stands still, what arrives at that very
        instant comes after it. Anything made by hand comes after what was sent before at the same instant.
        """
        is_periodic = period.invoicing_reason == InvoicingReason.PERIODIC
        return cls(at, at_end_of_period=is_periodic and at == period.billing_at)

    def has_seen(self, arrived_at: datetime) -> bool:
        """Whether what arrived then was there to be read."""
        return arrived_at < self.at or (arrived_at == self.at and not self.at_end_of_period)
