"""Routes that show, and prove anew, that every stored event is counted once."""

from invoicer.api.caller import Caller
from invoicer.api.dependencies import CurrentContext
from invoicer.api.outputs.reconciliation import ReconciliationAnswer, ReconciliationOutput
from invoicer.api.route import make_router
from invoicer.billing.late_events.finding import find_all_late_events
from invoicer.context import Context

router = make_router("reconciliation")


@router.get("/reconciliation")
def show(organization: Caller, context: CurrentContext) -> ReconciliationAnswer:
    """Show what the last checks found, as the process that answers knows it."""
    return _answer(context, str(organization.id))


@router.post("/reconciliation")
def check(organization: Caller, context: CurrentContext) -> ReconciliationAnswer:
    """Check every event of the organization now: repair what is stored twice, find what came too late."""
    context.auditor.check(str(organization.id))
    find_all_late_events(context, organization.id)
    return _answer(context, str(organization.id))


def _answer(context: Context, organization_id: str) -> ReconciliationAnswer:
    report = context.auditor.report(organization_id)
    return ReconciliationAnswer(reconciliation=ReconciliationOutput.of(report))
