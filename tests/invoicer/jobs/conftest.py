"""The scenario of the billing tests, for the jobs that drive it."""

from tests.invoicer.billing.conftest import clock, context, recounted, scenario

__all__ = ["clock", "context", "recounted", "scenario"]
