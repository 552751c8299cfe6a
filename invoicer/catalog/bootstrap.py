"""The first organization, made when a process starts on an empty database."""

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.catalog.api_keys import keep_api_key
from invoicer.catalog.snapshot import publish_catalog
from invoicer.db import Organization
from schemas.settings import Settings

_PREFIX_LETTERS = 3
_PREFIX_ID_CHARACTERS = 4


def ensure_organization(session: Session, settings: Settings, now: datetime, key: str) -> Organization:
    """The first organization, made with `key` when there is none; another key is added to it.

    Doing this again with the same key changes nothing. The snapshot is published in the same transaction.
    """
    organization = session.scalar(select(Organization).order_by(Organization.created_at, Organization.id).limit(1))
    if organization is None:
        organization = make_organization(settings.organization_name, now)
        session.add(organization)
        session.flush()
    keep_api_key(session, organization, key, now)
    publish_catalog(session, now)
    return organization


def make_organization(name: str, now: datetime) -> Organization:
    """A new organization with the settings it starts with."""
    organization_id = uuid.uuid4()
    return Organization(
        id=organization_id,
        name=name,
        document_number_prefix=default_document_number_prefix(name, organization_id),
        created_at=now,
        updated_at=now,
    )


def default_document_number_prefix(name: str, organization_id: uuid.UUID) -> str:
    """`MIL-4A2F`: how the numbers of an organization's documents start.

    Source: Lago invoice numbering.
    """
    return f"{name[:_PREFIX_LETTERS]}-{str(organization_id)[-_PREFIX_ID_CHARACTERS:]}".upper()
