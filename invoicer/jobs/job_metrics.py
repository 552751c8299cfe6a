"""What the jobs tell Prometheus."""

from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge

WAITS_FOR_USAGE = "millrace_billing_waits_for_usage"


class JobMetrics:
    """Measurements of the billing jobs of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.steps = Counter("millrace_billing_steps", "Due billing steps carried out.", registry=registry)
        self.failures = Counter(
            "millrace_billing_failures", "Billing steps that failed and stay due.", registry=registry
        )
        self.waits_for_usage = Gauge(
            WAITS_FOR_USAGE,
            "1 while something is due that waits for accepted events to be counted.",
            registry=registry,
        )
        self.last_success = Gauge(
            "millrace_billing_last_success_timestamp_seconds",
            "When the scheduler last looked for due work without an error.",
            registry=registry,
        )

    @classmethod
    def unregistered(cls) -> Self:
        """Measurements nobody reads."""
        return cls(CollectorRegistry())
