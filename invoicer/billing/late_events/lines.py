"""What late events change on the lines of a period that was billed: pure arithmetic, no rows are written here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from invoicer.rating.arithmetic import ZERO, exact_arithmetic


@dataclass(frozen=True)
class LineKey:
    """A line of a period: a charge, filter (None: the default bucket) and group, or the true-up of a charge.

    `grouped_by` are the group's keys with their values, by key.
    """

    charge_id: UUID
    charge_filter_id: UUID | None = None
    grouped_by: tuple[tuple[str, str | None], ...] = ()
    is_true_up: bool = False

    @classmethod
    def of(cls, charge_id: UUID, charge_filter_id: UUID | None, grouped_by: Mapping[str, str | None]) -> "LineKey":
        """The line of a bucket and group."""
        return cls(charge_id, charge_filter_id, tuple(sorted(grouped_by.items())))


@dataclass(frozen=True)
class LineAmount:
    """What a line comes to, or the difference of two. Units: minor units, `precise_amount_cents` unrounded."""

    units: Decimal = ZERO
    events_count: int = 0
    amount_cents: int = 0
    precise_amount_cents: Decimal = ZERO

    @exact_arithmetic()
    def plus(self, other: "LineAmount") -> "LineAmount":
        """Both together."""
        return LineAmount(
            self.units + other.units,
            self.events_count + other.events_count,
            self.amount_cents + other.amount_cents,
            self.precise_amount_cents + other.precise_amount_cents,
        )

    @exact_arithmetic()
    def minus(self, other: "LineAmount") -> "LineAmount":
        """What is more than the other, or less."""
        return LineAmount(
            self.units - other.units,
            self.events_count - other.events_count,
            self.amount_cents - other.amount_cents,
            self.precise_amount_cents - other.precise_amount_cents,
        )

    def cut_to(self, amount_cents: int) -> "LineAmount":
        """The same with another amount."""
        if amount_cents == self.amount_cents:
            return self
        return replace(self, amount_cents=amount_cents, precise_amount_cents=Decimal(amount_cents))


Lines = Mapping[LineKey, LineAmount]
NOTHING = LineAmount()


def differences(now: Lines, billed: Lines) -> dict[LineKey, LineAmount]:
    """What each line comes to now less what was billed for it, the lines of `now` first."""
    keys = [*now, *(key for key in billed if key not in now)]
    return {key: now.get(key, NOTHING).minus(billed.get(key, NOTHING)) for key in keys}


def due_differences(lines: Lines, minimums: Collection[UUID]) -> dict[LineKey, LineAmount]:
    """What of the differences is owed (> 0) or given back (< 0); lines without any are left out.

    `minimums` are the charges that have one. Usage and true-up of such a charge move against each other, so only
    their sum is due: it is put on lines that moved in its direction, usage before the true-up.
    Source: Lago minimum amount and true-up fee.
    """
    due: dict[LineKey, LineAmount] = {}
    for key, amount in lines.items():
        if key.charge_id not in minimums and amount.amount_cents:
            due[key] = amount
    for charge_id in minimums:
        due |= _net({key: amount for key, amount in lines.items() if key.charge_id == charge_id})
    return due


def take_from(amount_cents: int, available: Sequence[int]) -> list[int]:
    """Spread an amount over places in their order, each taking no more than is available there.

    Bounds: where not all of it is available, the parts add up to what is.
    """
    parts = []
    for each in available:
        part = max(0, min(amount_cents, each))
        amount_cents -= part
        parts.append(part)
    return parts


def _net(lines: Lines) -> dict[LineKey, LineAmount]:
    total = sum(amount.amount_cents for amount in lines.values())
    if not total:
        return {}
    sign = 1 if total > 0 else -1
    moved = sorted(
        (key for key, amount in lines.items() if amount.amount_cents * sign > 0), key=lambda key: key.is_true_up
    )
    parts = take_from(abs(total), [abs(lines[key].amount_cents) for key in moved])
    return {key: lines[key].cut_to(sign * part) for key, part in zip(moved, parts, strict=True) if part}
