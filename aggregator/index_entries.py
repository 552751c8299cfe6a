"""Entries of the dedup index as columns of numbers: sorted, merged and searched as a whole.

An id is a hash, so its first eight bytes alone tell nearly all ids apart: entries are in the order of these, as
little-endian numbers, and what shares them is compared one after the other. Many ids that share them would make a
search slow, never wrong.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from aggregator.bloom import WORD, HashedIds, Places, Words, halves

_COLUMNS = 3
ENTRY_BYTES = _COLUMNS * WORD.itemsize


class Indexed(Protocol):
    """What the index keeps of a stored event."""

    @property
    def event_id(self) -> bytes: ...

    @property
    def fingerprint(self) -> int: ...

    @property
    def ingested_at_us(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Entries:
    """Columns of ids, halves of eight bytes, and of the fingerprints of their events."""

    first: Words
    second: Words
    fingerprints: Words

    @classmethod
    def of(cls, entries: Collection[Indexed]) -> Self:
        """Those of stored events, in their order."""
        first, second = halves([entry.event_id for entry in entries])
        return cls(first, second, np.array([entry.fingerprint for entry in entries], WORD))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Self:
        """What `to_bytes` wrote, without a copy of it."""
        return cls(*np.frombuffer(data, WORD).reshape(_COLUMNS, -1))

    def to_bytes(self) -> bytes:
        """The columns one behind the other, `ENTRY_BYTES` an entry, the same on every machine."""
        return b"".join(column.tobytes() for column in (self.first, self.second, self.fingerprints))

    def __len__(self) -> int:
        return len(self.fingerprints)

    def at(self, places: Places | npt.NDArray[np.bool_]) -> "Entries":
        """Those at some places."""
        return Entries(self.first[places], self.second[places], self.fingerprints[places])

    def hashed(self) -> HashedIds:
        """The ids, for filters."""
        return HashedIds.of_halves(self.first, self.second)

    def find(self, ids: HashedIds) -> Iterator[tuple[int, int]]:
        """Where in `ids` those are that are here, and their fingerprints; of sorted entries only.

        The first entry of an id stands, should there be more.
        """
        asked = np.arange(len(ids.first))
        places = np.searchsorted(self.first, ids.first)
        while len(asked):
            is_candidate = places < len(self)
            is_candidate[is_candidate] = self.first[places[is_candidate]] == ids.first[asked[is_candidate]]
            asked, places = asked[is_candidate], places[is_candidate]
            is_found = self.second[places] == ids.second[asked]
            yield from zip(asked[is_found].tolist(), self.fingerprints[places[is_found]].tolist(), strict=True)
            asked, places = asked[~is_found], places[~is_found] + 1


def in_order(parts: Sequence[Entries]) -> Entries:
    """All entries of `parts`, sorted; an id's entries stay in the order in which they came."""
    first = np.concatenate([part.first for part in parts])
    order = np.argsort(first, kind="stable")
    return Entries(
        first[order],
        np.concatenate([part.second for part in parts])[order],
        np.concatenate([part.fingerprints for part in parts])[order],
    )
