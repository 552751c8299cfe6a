"""Routes of the notes on a credit note."""

from pydantic import BaseModel

from invoicer.api.dependencies import CurrentOrganization, DbSession, Now
from invoicer.api.route import make_router
from invoicer.billing.credit_note_input import CreditNoteMetadata
from invoicer.billing.credit_note_requests import change_metadata, find_credit_note
from invoicer.catalog.fields import ResourceInput

router = make_router("credit notes")
_METADATA = "/credit_notes/{lago_id}/metadata"


class CreditNoteMetadataBody(ResourceInput):
    """Notes by key."""

    metadata: CreditNoteMetadata


class CreditNoteMetadataAnswer(BaseModel):
    """The notes there are now; null when there are none."""

    metadata: dict[str, str | None] | None


@router.post(_METADATA)
def replace(
    lago_id: str, body: CreditNoteMetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteMetadataAnswer:
    """Replace all notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, body.metadata, now)
    return CreditNoteMetadataAnswer(metadata=note.metadata_values)


@router.patch(_METADATA)
def merge(
    lago_id: str, body: CreditNoteMetadataBody, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteMetadataAnswer:
    """Add or change single notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, (note.metadata_values or {}) | body.metadata, now)
    return CreditNoteMetadataAnswer(metadata=note.metadata_values)


@router.delete(_METADATA)
def clear(
    lago_id: str, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteMetadataAnswer:
    """Remove all notes."""
    note = find_credit_note(session, organization.id, lago_id)
    change_metadata(session, note, None, now)
    return CreditNoteMetadataAnswer(metadata=None)


@router.delete(_METADATA + "/{key}")
def remove(
    lago_id: str, key: str, organization: CurrentOrganization, session: DbSession, now: Now
) -> CreditNoteMetadataAnswer:
    """Remove one note."""
    note = find_credit_note(session, organization.id, lago_id)
    kept = {name: value for name, value in (note.metadata_values or {}).items() if name != key}
    change_metadata(session, note, kept, now)
    return CreditNoteMetadataAnswer(metadata=note.metadata_values)
