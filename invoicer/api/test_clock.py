"""Routes of the test clock: there only where time stands still until somebody moves it."""

from datetime import datetime

from pydantic import BaseModel

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext
from invoicer.api.route import make_router
from invoicer.api.validation import RootedBody
from invoicer.billing.subscription_input import InstantInput
from invoicer.catalog.fields import Instant, ResourceInput
from invoicer.context import Context
from invoicer.jobs.clock_steps import move_clock
from schemas.clock import MovableClock
from schemas.errors import NotFound

router = make_router("test clock")


class ClockInput(ResourceInput):
    """Where to move the clock to."""

    now: InstantInput


class ClockBody(RootedBody):
    """Body of a move."""

    test_clock: ClockInput


class ClockOutput(BaseModel):
    """The time."""

    now: Instant


class ClockAnswer(BaseModel):
    """The test clock."""

    test_clock: ClockOutput


@router.get("/test_clock")
def show(_organization: Caller, context: CurrentContext) -> ClockAnswer:
    """Show the time of the test clock."""
    return _answer(_clock(context).now())


@router.put("/test_clock")
def move(body: ClockBody, _organization: Caller, context: CurrentContext) -> ClockAnswer:
    """Move the clock forward, doing on the way everything that falls due, each thing at its own time."""
    clock = _clock(context)
    move_clock(context, clock, body.test_clock.now)
    return _answer(clock.now())


def _clock(context: Context) -> MovableClock:
    """Raises: NotFound where the clock is the machine's own."""
    if not isinstance(context.clock, MovableClock):
        raise NotFound("resource")
    return context.clock


def _answer(now: datetime) -> ClockAnswer:
    return ClockAnswer(test_clock=ClockOutput(now=now))
