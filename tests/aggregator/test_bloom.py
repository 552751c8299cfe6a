"""Bloom filters: nothing that was added is ever missed, and little else passes."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from aggregator.bloom import BloomFilter, HashedIds

ids = st.lists(st.binary(min_size=16, max_size=16), max_size=50)


@given(added=st.lists(ids, max_size=4), asked=ids, capacity=st.integers(0, 100))
def test_filter_passes_all_that_was_added(added: list[list[bytes]], asked: list[bytes], capacity: int) -> None:
    """Whatever the ids and however full it is; also after it was written and read."""
    bits = BloomFilter(capacity)
    for batch in added:
        bits.add(HashedIds(batch))
    everything = [each for batch in added for each in batch]
    assert bits.passing(HashedIds(everything)) == list(range(len(everything)))
    assert BloomFilter.from_bytes(bits.to_bytes()).passing(HashedIds(asked)) == bits.passing(HashedIds(asked))


def test_full_filter_passes_few_others() -> None:
    """The documented four in a thousand, of ids that are hashes."""
    random = Random(11)
    bits = BloomFilter(20_000)
    bits.add(HashedIds([random.randbytes(16) for _ in range(20_000)]))
    assert 0 < len(bits.passing(HashedIds([random.randbytes(16) for _ in range(50_000)]))) < 50_000 * 0.006


def test_filter_read_back_takes_more() -> None:
    """A run may be written to after its filter was saved."""
    first, second = bytes(range(16)), bytes(range(100, 116))
    bits = BloomFilter(10)
    bits.add(HashedIds([first]))
    again = BloomFilter.from_bytes(bits.to_bytes())
    assert again.passing(HashedIds([second, first])) == [1]
    again.add(HashedIds([second]))
    assert again.passing(HashedIds([second, first])) == [0, 1]
