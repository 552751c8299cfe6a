"""Bloom filters: nothing that was added is ever missed, and little else passes."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.bloom import ID_BYTES, BloomFilter, Chooser, HashedIds

ids = st.lists(st.binary(min_size=16, max_size=16), max_size=50)


choosers = st.sampled_from(Chooser)


@given(added=st.lists(ids, max_size=4), asked=ids, capacity=st.integers(0, 100), chooser=choosers)
def test_filter_passes_all_that_was_added(
    added: list[list[bytes]], asked: list[bytes], capacity: int, chooser: Chooser
) -> None:
    """Whatever the ids and however full it is, and the same each time."""
    bits = BloomFilter(capacity, chooser)
    for batch in added:
        bits.add(HashedIds.of(batch))
    everything = [each for batch in added for each in batch]
    assert passing(bits, everything) == list(range(len(everything)))
    again = BloomFilter(capacity, chooser)
    again.add(HashedIds.of(everything))
    assert passing(again, asked) == passing(bits, asked)


@pytest.mark.parametrize("chooser", Chooser)
def test_full_filter_passes_few_others(chooser: Chooser) -> None:
    """The documented 33 in a thousand, of ids that are hashes."""
    random = Random(11)
    bits = BloomFilter(20_000, chooser)
    bits.add(HashedIds.of(made(random, 20_000)))
    assert 0 < len(passing(bits, made(random, 50_000))) < 50_000 * 0.037


def test_filter_behind_another_one_passes_as_few_of_what_passed_that() -> None:
    """The second of two full filters over the same entries knows nothing of why the first one let an id pass."""
    random = Random(12)
    added, asked = HashedIds.of(made(random, 20_000)), HashedIds.of(made(random, 200_000))
    first, second = BloomFilter(20_000, Chooser.FIRST), BloomFilter(20_000, Chooser.SECOND)
    for bits in (first, second):
        bits.add(added)
    behind = asked.at(first.passing(asked))
    assert 0 < len(second.passing(behind)) < len(behind.bits) * 0.05


def test_filter_takes_more_behind_a_question() -> None:
    """A run is written to and asked in turn."""
    first, second = bytes(range(16)), bytes(range(100, 116))
    bits = BloomFilter(10, Chooser.FIRST)
    bits.add(HashedIds.of([first]))
    assert passing(bits, [second, first]) == [1]
    bits.add(HashedIds.of([second]))
    assert passing(bits, [second, first]) == [0, 1]


def made(random: Random, count: int) -> list[bytes]:
    """Ids as hashes are: evenly spread."""
    return [random.randbytes(ID_BYTES) for _ in range(count)]


def passing(bits: BloomFilter, asked: list[bytes]) -> list[int]:
    return list(bits.passing(HashedIds.of(asked)))
