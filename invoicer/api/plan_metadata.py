"""Routes of the notes on a plan."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.metadata import MetadataAnswer, MetadataBody
from invoicer.api.route import make_router
from invoicer.catalog.metadata import change_metadata
from invoicer.catalog.plans import find_plan

router = make_router("plans")
_METADATA = "/plans/{code:path}/metadata"


@router.post(_METADATA)
def replace(
    code: str, body: MetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> MetadataAnswer:
    """Replace all notes."""
    plan = find_plan(session, organization.id, code)
    change_metadata(session, plan, body.metadata, now)
    return MetadataAnswer(metadata=plan.metadata_values)


@router.patch(_METADATA)
def merge(
    code: str, body: MetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> MetadataAnswer:
    """Add or change single notes."""
    plan = find_plan(session, organization.id, code)
    change_metadata(session, plan, (plan.metadata_values or {}) | body.metadata, now)
    return MetadataAnswer(metadata=plan.metadata_values)


@router.delete(_METADATA)
def clear(code: str, organization: CurrentOrganization, session: DbSession, now: Now) -> MetadataAnswer:
    """Remove all notes."""
    plan = find_plan(session, organization.id, code)
    change_metadata(session, plan, None, now)
    return MetadataAnswer(metadata=None)


@router.delete(_METADATA + "/{key}")
def remove(code: str, key: str, organization: CurrentOrganization, session: DbSession, now: Now) -> MetadataAnswer:
    """Remove one note."""
    plan = find_plan(session, organization.id, code)
    kept = {name: value for name, value in (plan.metadata_values or {}).items() if name != key}
    change_metadata(session, plan, kept, now)
    return MetadataAnswer(metadata=plan.metadata_values)
