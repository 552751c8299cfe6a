"""The notes that callers keep on plans and credit notes, for their own use."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from invoicer.catalog.fields import RequiredText, Text
from invoicer.db import CreditNote, Plan
from schemas.errors import InputError

METADATA_KEYS_MAX = 50
Metadata = Annotated[dict[RequiredText, Text | None], Field(max_length=METADATA_KEYS_MAX)]
"""Notes by key."""


def change_metadata(
    session: Session, owner: Plan | CreditNote, values: dict[str, str | None] | None, now: datetime
) -> None:
    """Set the notes on a plan or a credit note; none at all are kept as null.

    Raises: InputError when there are too many.
    """
    if values is not None and len(values) > METADATA_KEYS_MAX:
        raise InputError({"metadata": ["invalid_count"]})
    owner.metadata_values = values or None
    owner.updated_at = now
    session.flush()
