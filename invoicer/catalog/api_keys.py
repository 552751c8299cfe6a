"""API keys: whoever has one acts for its organization, so one that leaked must be taken back."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from invoicer.catalog.snapshot import publish_catalog
from invoicer.db import ApiKey, Organization
from schemas.catalog import hash_api_key
from schemas.errors import NotAllowed, NotFound

KEY_BYTES = 24


def list_api_keys(session: Session) -> Sequence[tuple[ApiKey, Organization]]:
    """All keys with whom they act for, oldest first; what they are themselves nobody keeps."""
    wanted = select(ApiKey, Organization).join(Organization, Organization.id == ApiKey.organization_id)
    return [(key, owner) for key, owner in session.execute(wanted.order_by(ApiKey.created_at, ApiKey.id))]


def add_api_key(session: Session, organization: Organization, now: datetime) -> str:
    """Make another key for an organization; returns it, for the only time."""
    key = secrets.token_urlsafe(KEY_BYTES)
    keep_api_key(session, organization, key, now)
    publish_catalog(session, now)
    return key


def keep_api_key(session: Session, organization: Organization, key: str, now: datetime) -> None:
    """Let a key act for an organization; nothing changes when it does already.

    The caller publishes the catalog.
    """
    key_hash = hash_api_key(key)
    if session.scalar(select(ApiKey.id).where(ApiKey.key_hash == key_hash)) is None:
        session.add(ApiKey(organization_id=organization.id, key_hash=key_hash, created_at=now, updated_at=now))


def revoke_api_key(session: Session, key_id: uuid.UUID, now: datetime) -> None:
    """Take a key back: the invoicer refuses it at once, ingest when it has looked at the catalog again.

    Raises: NotFound; NotAllowed for the last key of an organization, which nobody could act for then.
    """
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound("api_key")
    others = select(ApiKey.id).where(ApiKey.organization_id == key.organization_id, ApiKey.id != key_id)
    if session.scalar(others.limit(1)) is None:
        raise NotAllowed("last_api_key")
    session.delete(key)
    publish_catalog(session, now)
