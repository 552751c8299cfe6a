"""The partition of a key."""

import pytest

from schemas.partitioning import murmur2, partition_key, partition_of


@pytest.mark.parametrize(
    ("text", "signed_hash"),
    [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ],
)
def test_murmur2_agrees_with_kafkas_own_values(text: str, signed_hash: int) -> None:
    """The values of Kafka's own test suite, so a client with the default partitioner agrees with us."""
    assert murmur2(text.encode()) == signed_hash % 2**32


def test_partition_is_the_hash_without_its_sign_modulo_the_partitions() -> None:
    """murmur2("21") is negative; its sign bit is cleared before the division."""
    assert partition_of(b"21", 12) == (-973_932_308 & 0x7FFFFFFF) % 12
    assert partition_key("org", "sub") == b"org/sub"
