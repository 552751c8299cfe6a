"""The scenario of the billing tests, for the jobs that drive it."""

from tests.invoicer.billing.conftest import clock, recounted, scenario, usage

__all__ = ["clock", "recounted", "scenario", "usage"]
