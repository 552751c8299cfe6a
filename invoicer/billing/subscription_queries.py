"""Finds subscriptions."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from invoicer.db import Subscription
from schemas.errors import NotFound


def select_subscriptions_of(organization_id: uuid.UUID) -> Select[Subscription]:
    """The organization's subscriptions, newest first."""
    owned = select(Subscription).where(Subscription.organization_id == organization_id)
    return owned.order_by(Subscription.created_at.desc(), Subscription.id)


def find_subscription(
    session: Session, organization_id: uuid.UUID, external_id: str, statuses: Sequence[str]
) -> Subscription:
    """The newest subscription with that external id in the first of `statuses` that has one.

    Raises: NotFound.
    """
    for status in statuses:
        found = session.scalar(
            select_subscriptions_of(organization_id)
            .where(Subscription.external_id == external_id, Subscription.status == status)
            .limit(1)
        )
        if found is not None:
            return found
    raise NotFound("subscription")


def subscriptions_by_external_id(
    session: Session, organization_id: uuid.UUID, external_ids: Iterable[str]
) -> dict[str, list[Subscription]]:
    """Every started subscription under those external ids: running ones first, then the latest ended."""
    owned = select_subscriptions_of(organization_id).where(
        Subscription.external_id.in_(set(external_ids)), Subscription.started_at.is_not(None)
    )
    found: dict[str, list[Subscription]] = {}
    for subscription in session.scalars(owned):
        found.setdefault(subscription.external_id, []).append(subscription)
    for each in found.values():
        each.sort(key=_recency, reverse=True)
    return found


def subscription_at(subscriptions: Iterable[Subscription], instant: datetime) -> Subscription | None:
    """The first of `subscriptions` that ran at `instant`; bounds are compared in whole milliseconds.

    Source: Lago events, subscription of an event.
    """
    return next((each for each in subscriptions if _ran_at(each, instant)), None)


def _recency(subscription: Subscription) -> tuple[bool, datetime]:
    ended = subscription.terminated_at
    return ended is None, ended or subscription.started_at or subscription.created_at


def _ran_at(subscription: Subscription, instant: datetime) -> bool:
    started, ended = subscription.started_at, subscription.terminated_at
    return (
        started is not None
        and _milliseconds(started) <= instant
        and (ended is None or _milliseconds(ended) >= instant)
    )


def _milliseconds(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
