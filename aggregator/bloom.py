"""Bloom filters over event ids: which of them a run of the index may hold, without touching the run.

A blocked filter: an id chooses one word of 64 bits and, in it, `PROBES` bits. One look at memory answers for an
id, and numpy looks for a whole batch at once. The ids are hashes (`schemas.events.event_identity`), so their own
bits are what chooses; ids that are not spread evenly make a filter useless, never wrong.

Source: F. Putze, P. Sanders, J. Singler, "Cache-, hash- and space-efficient Bloom filters", 2009.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
BITS_PER_ENTRY = 16
"""With `PROBES` bits each, four in a thousand ids that a full filter does not hold pass it."""
PROBES = 6
_WORD_BITS = 64
_WORD = np.dtype("<u8")
_CHOOSER_BITS = np.uint64(32)
_PLACE_BITS = 6
_PLACE_MASK = np.uint64(_WORD_BITS - 1)


class HashedIds:
    """Ids as every filter needs them: what chooses the word, and the bits in it."""

    def __init__(self, ids: Sequence[bytes]) -> None:
        words = np.frombuffer(b"".join(ids), dtype=_WORD).reshape(len(ids), ID_BYTES // _WORD.itemsize)
        self.choosers: npt.NDArray[np.uint64] = words[:, 0] >> _CHOOSER_BITS
        self.bits: npt.NDArray[np.uint64] = np.zeros(len(ids), np.uint64)
        for probe in range(PROBES):
            place = (words[:, 1] >> np.uint64(probe * _PLACE_BITS)) & _PLACE_MASK
            self.bits |= np.uint64(1) << place


class BloomFilter:
    """Ids that were added pass; of others, few do as long as no more than `capacity` were added."""

    def __init__(self, capacity: int) -> None:
        self._words = np.zeros(max(capacity * BITS_PER_ENTRY // _WORD_BITS, 1), _WORD)

    @classmethod
    def from_bytes(cls, data: bytes) -> "BloomFilter":
        """The filter that `to_bytes` wrote."""
        loaded = cls(0)
        loaded._words = np.frombuffer(data, _WORD).copy()
        return loaded

    def to_bytes(self) -> bytes:
        """The filter's bits, in the same order on every machine."""
        return self._words.tobytes()

    def add(self, ids: HashedIds) -> None:
        """Let `ids` pass from now on."""
        np.bitwise_or.at(self._words, self._chosen(ids), ids.bits)

    def passing(self, ids: HashedIds) -> list[int]:
        """The places in `ids` of those that may have been added; the others were not."""
        return list(np.flatnonzero((self._words[self._chosen(ids)] & ids.bits) == ids.bits).tolist())

    def _chosen(self, ids: HashedIds) -> npt.NDArray[np.uint64]:
        """Each id's word: 32 of its bits, scaled to the number of words."""
        return (ids.choosers * np.uint64(len(self._words))) >> _CHOOSER_BITS
