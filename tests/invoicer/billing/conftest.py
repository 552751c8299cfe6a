"""An organization, a recounting usage store and a clock to move, for tests that bill."""

from datetime import UTC, datetime

import pytest

from invoicer.context import Context
from schemas.clock import MovableClock
from tests.invoicer.billing.make_catalog import make_organization_row
from tests.invoicer.billing.recounted_usage import RecountedUsage
from tests.invoicer.billing.scenario import Scenario
from tests.invoicer.fakes import FakeGate


@pytest.fixture
def clock() -> MovableClock:
    """A clock that stands at noon of 2026-01-01 UTC until a test moves it."""
    return MovableClock(datetime(2026, 1, 1, 12, 0, tzinfo=UTC))


@pytest.fixture
def recounted() -> RecountedUsage:
    """The usage store of the scenario."""
    return RecountedUsage()


@pytest.fixture
def usage(recounted: RecountedUsage) -> RecountedUsage:
    """Usage that counts, for the context."""
    return recounted


@pytest.fixture
def scenario(context: Context, clock: MovableClock, recounted: RecountedUsage, gate: FakeGate) -> Scenario:
    """An organization MIL-0001 and everything to bill with."""
    return Scenario(context, clock, recounted, gate, make_organization_row(context))
