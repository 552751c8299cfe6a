"""Prices periods that late events lie in once more, and says what the difference is, line by line.

The whole period is priced with every event counted by now, so that tiers are right, against what was billed for it
so far: settling the difference makes the next one 0. Where a price or a metric was edited since, what was billed
is no measure; there both sides are priced as it is now, with the late events and without them.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from invoicer.billing.charge_usage import ChargeLine, UsageWindow, price_bucket
from invoicer.billing.event_measure import measure
from invoicer.billing.event_trace import bucket_of
from invoicer.billing.fee_building import missing_to_minimum
from invoicer.billing.late_events.lines import NOTHING, LineAmount, LineKey, Lines, differences, due_differences
from invoicer.billing.late_events.work import LatePeriod, LateWork, PastCharge
from invoicer.billing.recount import RecountingReader
from invoicer.db import LateEvent
from schemas.usage import ArrivalReader, PlacedEvent, UsageReader, UsageRow, UsageScope, UsageTotals


@dataclass(frozen=True)
class LateDifference:
    """What one line of a period comes to more (> 0) or less (< 0) than what was billed.

    `event_ids` are the rows of the late events that lie in it.
    """

    late: LatePeriod
    past: PastCharge
    key: LineKey
    amount: LineAmount
    event_ids: frozenset[uuid.UUID]


@dataclass(frozen=True)
class PricedLate:
    """What the late events of a subscription change: what is owed, and what is to be given back.

    `on_drafts` are lines with neither that a draft has a fee for: it is computed anew, and may change yet.
    """

    work: LateWork
    owed: tuple[LateDifference, ...]
    returned: tuple[LateDifference, ...]
    on_drafts: tuple[LateDifference, ...]


@dataclass(frozen=True)
class UsageWithout:
    """Usage as if some events, by transaction id, had never been sent: counted row by row where there are any."""

    reader: UsageReader
    excluded: frozenset[str]

    def totals(self, scope: UsageScope) -> Sequence[UsageTotals]:
        """As the reader's, without those events."""
        if not self.excluded:
            return self.reader.totals(scope)
        return RecountingReader(list(self.rows(scope))).totals(scope)

    def rows(self, scope: UsageScope) -> Iterator[UsageRow]:
        """As the reader's, without those events."""
        return (row for row in self.reader.rows(scope) if row.transaction_id not in self.excluded)


def price_late(usage: UsageReader, stored: ArrivalReader, work: LateWork) -> PricedLate:
    """What the late events of a subscription change.

    Raises: TransientError when the usage store is away; InvariantViolation when a charge cannot be priced.
    """
    subscription = work.facts.subscription
    placed = stored.placed(
        str(subscription.organization_id),
        subscription.external_id,
        [str(event.event_id) for event in work.events],
    )
    lying = _Lying(work.events, {uuid.UUID(each.event.event_id): each for each in placed})
    owed: list[LateDifference] = []
    returned: list[LateDifference] = []
    on_drafts: list[LateDifference] = []
    for late in work.periods:
        for past in late.charges:
            more, less = charge_differences(usage, late, past)
            open_keys = _on_drafts(late, past) - more.keys() - less.keys()
            owed.extend(lying.difference(late, past, key, amount) for key, amount in more.items())
            returned.extend(lying.difference(late, past, key, amount) for key, amount in less.items())
            on_drafts.extend(lying.difference(late, past, key, NOTHING) for key in open_keys)
    return PricedLate(work, tuple(owed), tuple(returned), tuple(on_drafts))


def charge_differences(usage: UsageReader, late: LatePeriod, past: PastCharge) -> tuple[Lines, Lines]:
    """What is owed more for a charge in a period, and what is to be given back of it (< 0), line by line."""
    now = past_lines(UsageWithout(usage, past.ignored), past, late.window)
    if past.is_changed:
        without = UsageWithout(usage, past.ignored | past.uncounted)
        billed = final = past_lines(without, past, late.window)
    else:
        billed, final = (
            {key: amount for key, amount in lines.items() if key.charge_id == past.charge.id}
            for lines in (late.billed, late.billed_final)
        )
    minimums = {past.charge.id} if past.charge.min_amount_cents else set()
    more = due_differences(differences(now, billed), minimums)
    less = due_differences(differences(now, final), minimums)
    return (
        {key: amount for key, amount in more.items() if amount.amount_cents > 0},
        {key: amount for key, amount in less.items() if amount.amount_cents < 0},
    )


def _on_drafts(late: LatePeriod, past: PastCharge) -> set[LineKey]:
    return {
        key
        for key, amount in late.billed.items()
        if key.charge_id == past.charge.id and amount != late.billed_final.get(key, NOTHING)
    }


def past_lines(usage: UsageReader, past: PastCharge, window: UsageWindow) -> Lines:
    """What a charge comes to in a period, by line, its true-up to a minimum among them."""
    priced = [
        line for bucket in past.buckets for line in price_bucket(usage, past.charge, bucket, past.metric, window)
    ]
    lines = {_key(line): _amount(line) for line in priced}
    missing = missing_to_minimum(past.charge, priced, window)
    if missing:
        lines[LineKey(past.charge.id, is_true_up=True)] = LineAmount().cut_to(missing)
    return lines


@dataclass(frozen=True)
class _Lying:
    """Which late events lie in which line."""

    events: Sequence[LateEvent]
    placed: Mapping[uuid.UUID, PlacedEvent]

    def difference(self, late: LatePeriod, past: PastCharge, key: LineKey, amount: LineAmount) -> LateDifference:
        return LateDifference(late, past, key, amount, frozenset(self._in_line(past, key)))

    def _in_line(self, past: PastCharge, key: LineKey) -> Iterator[uuid.UUID]:
        for event in self.events:
            placed = self.placed.get(event.event_id)
            if event.transaction_id in past.uncounted and placed is not None:
                measured = measure(placed, past.metric)
                if measured.value is None:
                    continue
                bucket, grouped_by = bucket_of(past.buckets, measured.dimensions)
                filter_id = None if bucket.charge_filter is None else bucket.charge_filter.id
                is_here = LineKey.of(past.charge.id, filter_id, grouped_by) == key
                if is_here or past.charge.min_amount_cents:
                    yield event.id


def _key(line: ChargeLine) -> LineKey:
    filter_id = None if line.charge_filter is None else line.charge_filter.id
    return LineKey.of(line.charge.id, filter_id, line.grouped_by)


def _amount(line: ChargeLine) -> LineAmount:
    amounts = line.amounts
    return LineAmount(amounts.units, amounts.events_count, amounts.amount_cents, amounts.precise_amount_cents)
