"""Bloom filters over event ids: which of them a run of the index may hold, without touching the run.

A blocked filter: an id chooses one word of 64 bits and, in it, `PROBES` bits. One look at memory answers for an
id, and numpy looks for a whole batch at once. The ids are hashes (`schemas.events.event_identity`), so their own
bits are what chooses; ids that are not spread evenly make a filter useless, never wrong.

Two filters that are asked one after the other have different choosers: what passes the first one by chance would
else pass the second one more often than others do.

Source: F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient Bloom filters", 2009.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
BITS_PER_ENTRY = 8
"""With `PROBES` bits each, about 33 in a thousand ids that a full filter does not hold pass it."""
PROBES = 4
_WORD_BITS = 64
WORD = np.dtype("<u8")
_CHOOSER_BITS = np.uint64(32)
_CHOOSER_MASK = np.uint64(2**32 - 1)
_PLACE_BITS = 6
_PLACE_MASK = np.uint64(_WORD_BITS - 1)

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.intp]
"""Which ids of a batch, by their place in it, ascending."""


class Chooser(Enum):
    """Which bits of an id choose its word."""

    FIRST = auto()
    SECOND = auto()


def halves(ids: Sequence[bytes]) -> tuple[Words, Words]:
    """The first and the second eight bytes of ids of `ID_BYTES` bytes, as numbers."""
    first, second = np.frombuffer(b"".join(ids), WORD).reshape(len(ids), ID_BYTES // WORD.itemsize).T.copy()
    return first, second


@dataclass(frozen=True, slots=True)
class HashedIds:
    """Ids as filters and sorted entries need them: their two halves, and what they choose in a word."""

    first: Words
    second: Words
    bits: Words

    @classmethod
    def of(cls, ids: Sequence[bytes]) -> Self:
        """Those of ids of `ID_BYTES` bytes."""
        return cls.of_halves(*halves(ids))

    @classmethod
    def of_halves(cls, first: Words, second: Words) -> Self:
        """Those of ids whose halves were read before."""
        bits = np.zeros(len(second), WORD)
        for probe in range(PROBES):
            bits |= np.uint64(1) << ((second >> np.uint64(probe * _PLACE_BITS)) & _PLACE_MASK)
        return cls(first, second, bits)

    def at(self, places: Places) -> "HashedIds":
        """Those at some places."""
        return HashedIds(self.first[places], self.second[places], self.bits[places])


class BloomFilter:
    """Ids that were added pass; of others, few do as long as no more than `capacity` were added."""

    def __init__(self, capacity: int, chooser: Chooser) -> None:
        self._words = np.zeros(max(capacity * BITS_PER_ENTRY // _WORD_BITS, 1), WORD)
        self._chooser = chooser

    def add(self, ids: HashedIds) -> None:
        """Let `ids` pass from now on."""
        np.bitwise_or.at(self._words, self._chosen(ids), ids.bits)

    def passing(self, ids: HashedIds) -> Places:
        """Where in `ids` those are that may have been added; the others were not."""
        return np.flatnonzero((self._words[self._chosen(ids)] & ids.bits) == ids.bits)

    def _chosen(self, ids: HashedIds) -> Words:
        """Each id's word: 32 bits of its first half, scaled to the number of words."""
        bits = ids.first >> _CHOOSER_BITS if self._chooser is Chooser.FIRST else ids.first & _CHOOSER_MASK
        return (bits * np.uint64(len(self._words))) >> _CHOOSER_BITS
