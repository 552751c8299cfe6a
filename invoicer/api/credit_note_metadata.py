"""Routes of the notes on a credit note."""

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.metadata import MetadataAnswer, MetadataBody
from invoicer.api.route import make_router
from invoicer.billing.credit_note_requests import find_credit_note
from invoicer.catalog.metadata import change_metadata

router = make_router("credit notes")
_METADATA = "/credit_notes/{lago_id}/metadata"


@router.post(_METADATA)
def replace(
    lago_id: str, body: MetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> MetadataAnswer:
    """Replace all notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, body.metadata, now)
    return MetadataAnswer(metadata=note.metadata_values)


@router.patch(_METADATA)
def merge(
    lago_id: str, body: MetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> MetadataAnswer:
    """Add or change single notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, (note.metadata_values or {}) | body.metadata, now)
    return MetadataAnswer(metadata=note.metadata_values)


@router.delete(_METADATA)
def clear(lago_id: str, organization: CurrentOrganization, session: DbSession, now: Now) -> MetadataAnswer:
    """Remove all notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, None, now)
    return MetadataAnswer(metadata=None)


@router.delete(_METADATA + "/{key}")
def remove(
    lago_id: str, key: str, organization: CurrentOrganization, session: DbSession, now: Now
) -> MetadataAnswer:
    """Remove one note."""
    note = find_credit_note(session, organization.id, lago_id)
    kept = {name: value for name, value in (note.metadata_values or {}).items() if name != key}
    change_metadata(session, note, kept, now)
    return MetadataAnswer(metadata=note.metadata_values)
