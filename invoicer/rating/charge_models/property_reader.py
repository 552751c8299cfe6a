"""Reads charge properties as the API sends them, gathering every fault before refusing."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from invoicer.rating.arithmetic import ZERO
from invoicer.rating.charge_models.tiers import PercentageTier, Range, Tier

# 15 + 18 digits: a price of 10^15 currency units is beyond any invoice, 18 decimals are what an event value
# keeps; products of the two stay far inside the precision of the arithmetic.
_AMOUNT_TEXT = re.compile(r"[0-9]{1,15}(\.[0-9]{0,18})?")
_INTEGER_MAX = 10**15
_TIERS_MAX = 1_000
_BOUND_STEP = Decimal(1)


class InvalidProperties(ValueError):
    """The properties do not fit the charge model; `codes` are the API's error codes, each once."""

    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__(", ".join(codes))
        self.codes = list(codes)


class PropertyReader:
    """Reads typed values out of raw properties; a faulty one reads as 0 and is kept in `faults`."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self._raw = raw
        self.faults: list[str] = []

    def refuse(self, code: str) -> None:
        """Keep a fault; a code is reported once."""
        if code not in self.faults:
            self.faults.append(code)

    def raise_faults(self) -> None:
        """Raise InvalidProperties if anything was refused."""
        if self.faults:
            raise InvalidProperties(self.faults)

    def amount(self, key: str, code: str) -> Decimal:
        """A required amount or rate."""
        return self._amount(self._raw.get(key), code)

    def optional_amount(self, key: str, code: str) -> Decimal | None:
        """An amount that may be absent or null."""
        return None if self._raw.get(key) is None else self.amount(key, code)

    def integer(self, key: str, code: str, *, minimum: int) -> int:
        """A required JSON integer of at least `minimum`; a boolean is none."""
        value = self._raw.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value < _INTEGER_MAX:
            return value
        self.refuse(code)
        return minimum

    def optional_integer(self, key: str, code: str, *, minimum: int) -> int | None:
        """An integer that may be absent or null."""
        return None if self._raw.get(key) is None else self.integer(key, code, minimum=minimum)

    def tiers(self, key: str, *, gap: int = 0) -> tuple[Tier, ...]:
        """Tiers with a price per unit. `gap`: see `_are_contiguous`."""
        tiers = tuple(
            Tier(
                from_value=self._bound(raw.get("from_value"), key),
                to_value=self._optional_bound(raw.get("to_value"), key),
                per_unit_amount=self._amount(raw.get("per_unit_amount"), "invalid_amount"),
                flat_amount=self._amount(raw.get("flat_amount"), "invalid_amount"),
            )
            for raw in self._ranges(key)
        )
        self._check_ranges(tiers, key, gap)
        return tiers

    def percentage_tiers(self, key: str) -> tuple[PercentageTier, ...]:
        """Tiers with a rate in percent."""
        tiers = tuple(
            PercentageTier(
                from_value=self._bound(raw.get("from_value"), key),
                to_value=self._optional_bound(raw.get("to_value"), key),
                rate=self._amount(raw.get("rate"), "invalid_rate"),
                flat_amount=self._amount(raw.get("flat_amount"), "invalid_amount"),
            )
            for raw in self._ranges(key)
        )
        self._check_ranges(tiers, key, gap=0)
        return tiers

    def check_pricing_group_keys(self) -> None:
        """Refuse group keys that are not a list of property names."""
        for name in ("pricing_group_keys", "grouped_by"):
            keys = self._raw.get(name)
            if keys is None:
                continue
            if not isinstance(keys, list | tuple) or not all(isinstance(key, str) and key for key in keys):
                self.refuse("invalid_type")

    def _amount(self, value: object, code: str) -> Decimal:
        if isinstance(value, str) and _AMOUNT_TEXT.fullmatch(value):
            return Decimal(value)
        self.refuse(code)
        return ZERO

    def _ranges(self, key: str) -> list[Mapping[str, object]]:
        ranges = self._raw.get(key)
        if not ranges:
            self.refuse(f"missing_{key}")
            return []
        if not isinstance(ranges, list | tuple) or len(ranges) > _TIERS_MAX:
            self.refuse(f"invalid_{key}")
            return []
        mappings = [each for each in ranges if isinstance(each, Mapping)]
        if len(mappings) != len(ranges):
            self.refuse(f"invalid_{key}")
        return mappings

    def _bound(self, value: object, key: str) -> Decimal:
        # A bound is a JSON number; where it was decoded as a float its shortest text is what was sent.
        is_number = isinstance(value, int | float | Decimal | str) and not isinstance(value, bool)
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
        if is_number and _AMOUNT_TEXT.fullmatch(text):
            return Decimal(text)
        self.refuse(f"invalid_{key}")
        return ZERO

    def _optional_bound(self, value: object, key: str) -> Decimal | None:
        return None if value is None else self._bound(value, key)

    def _check_ranges(self, tiers: Sequence[Range], key: str, gap: int) -> None:
        if tiers and not _are_contiguous(tiers, gap):
            self.refuse(f"invalid_{key}")


def _are_contiguous(tiers: Sequence[Range], gap: int) -> bool:
    """Whether tiers start at 0 or 1, follow each other at a step of `gap` or `gap + 1`, and end open."""
    expected = ZERO
    for position, tier in enumerate(tiers):
        if tier.from_value not in (expected, expected + _BOUND_STEP):
            return False
        if position == len(tiers) - 1:
            return tier.to_value is None
        if tier.to_value is None or tier.to_value <= tier.from_value:
            return False
        expected = tier.to_value + gap
    return False
