"""How a subscription moves on: state changes of its row, each ending with the instant it is due next."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from invoicer.billing.due_steps import (
    DueStep,
    StepKind,
    SubscriptionStatus,
    next_step,
    subscription_terms,
    trial_ends_on,
)
from invoicer.billing.subscription_terms import SubscriptionTerms
from invoicer.billing.trial import trial_end
from invoicer.db import Subscription


def terms_after(terms: SubscriptionTerms, step: DueStep) -> SubscriptionTerms:
    """The terms a step is billed by: those that it ends carry their end."""
    return replace(terms, terminated_at=step.at) if step.kind is StepKind.END else terms


def apply_step(subscription: Subscription, terms: SubscriptionTerms, step: DueStep, now: datetime) -> None:
    """Move a subscription past a step that was carried out. `now` is when, `step.at` as of when.

    Source: Lago subscriptions, statuses and lifecycle.
    """
    match step.kind:
        case StepKind.ACTIVATE:
            activate(subscription, terms, activated_at=step.at)
        case StepKind.BILL:
            subscription.billed_until = step.at
            _end_trial(subscription, terms, step.at)
        case StepKind.END_TRIAL:
            _end_trial(subscription, terms, step.at)
        case StepKind.END:
            _end(subscription, step.at)
        case StepKind.CLOSE:
            subscription.due_at = None
        case unreachable:
            assert_never(unreachable)
    reschedule(subscription, terms)
    subscription.updated_at = now


def activate(subscription: Subscription, terms: SubscriptionTerms, *, activated_at: datetime) -> None:
    """Start a subscription. Time before `activated_at` counts as billed: nothing is invoiced in retrospect."""
    subscription.status = SubscriptionStatus.ACTIVE
    subscription.started_at = terms.started_at
    subscription.activated_at = activated_at
    subscription.billed_until = activated_at
    _end_trial(subscription, terms, activated_at)


def terminate(subscription: Subscription, terms: SubscriptionTerms, *, at: datetime, now: datetime) -> None:
    """End an active subscription; what is still to be invoiced stays due.

    Bounds: it never ends before it has started.
    """
    ends_at = max(at, terms.started_at)
    _end(subscription, ends_at)
    subscription.due_at = ends_at
    reschedule(subscription, terms)
    subscription.updated_at = now


def cancel(subscription: Subscription, now: datetime) -> None:
    """Give up a subscription that has not started."""
    subscription.status = SubscriptionStatus.CANCELED
    subscription.canceled_at = now
    subscription.due_at = None
    subscription.updated_at = now


def reschedule(subscription: Subscription, terms: SubscriptionTerms) -> None:
    """Recompute when the subscription is due next: after any change of it, its plan or its timezone."""
    current = subscription_terms(subscription, trial_started_at=terms.trial_started_at, timezone=terms.timezone)
    step = next_step(subscription, current)
    subscription.due_at = None if step is None else step.at


def _end(subscription: Subscription, at: datetime) -> None:
    subscription.status = SubscriptionStatus.TERMINATED
    subscription.terminated_at = at
    subscription.due_at = None


def _end_trial(subscription: Subscription, terms: SubscriptionTerms, at: datetime) -> None:
    ends_on = trial_ends_on(terms)
    if ends_on is not None and ends_on <= at and subscription.trial_ended_at is None:
        subscription.trial_ended_at = trial_end(terms)
