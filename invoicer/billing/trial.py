"""Trials: the days at the start of a subscription for which no subscription fee is due."""

from datetime import datetime, timedelta

from invoicer.billing.local_days import local_day
from invoicer.billing.subscription_terms import SubscriptionTerms

_MICROSECONDS_PER_DAY = 86_400_000_000


def trial_end(terms: SubscriptionTerms) -> datetime | None:
    """The first instant after the trial, or None when the plan has none.

    Units:  a trial day is 86,400 seconds, whatever daylight saving does.
    Rounds: a fraction of a microsecond is cut.
    Source: Lago subscriptions, trial.
    """
    if terms.trial_period_days == 0:
        return None
    microseconds = int(terms.trial_period_days * _MICROSECONDS_PER_DAY)
    return (terms.trial_started_at or terms.started_at) + timedelta(microseconds=microseconds)


def is_in_trial(terms: SubscriptionTerms, at: datetime) -> bool:
    """Whether the local day of `at` comes before the local day on which the trial ends.

    Days are compared, not instants: a run at any hour of the trial's last day finds it ended.
    Source: Lago subscriptions, trial.
    """
    ends = trial_end(terms)
    return ends is not None and local_day(at, terms.timezone) < local_day(ends, terms.timezone)
