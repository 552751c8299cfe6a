"""Which partition an event belongs to: the choice Kafka's own default partitioner makes for the same key."""

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def partition_key(organization_id: str, external_subscription_id: str) -> bytes:
    """The record key: all events of one subscription share it, so exact dedup is local to a partition."""
    return f"{organization_id}/{external_subscription_id}".encode()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions`: murmur2, sign bit cleared, modulo.

    Source: Apache Kafka, the default partitioner of keyed records.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit murmur2 of `data`, unsigned, with Kafka's seed."""
    length = len(data)
    h = (_SEED ^ length) & _MASK
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)
