"""The authenticated dictionary under the signed head: a radix-64 hash tree of depth three.

- An agent's slot is the SHA-256 of its id; the slot's first 18 bits are its bucket. A bucket's
  digest is over its sorted (slot, entry digest) pairs, a node's over its 64 children's digests.
- Node 0 is the root, 1 to 64 its children, 65 to 4160 theirs, which hold buckets' digests.
- One lookup needs three nodes of 2 KiB and one bucket, whatever the table's size, and proves
  absence as well as presence. A node without a row is one over empty buckets.
- Digests are domain-separated, so that no node can pass for a bucket or an entry.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

DIGEST = 32
FAN = 64
BUCKETS = FAN**3
NODES = 1 + FAN + FAN**2
FIRST_LOW = 1 + FAN

Pair = tuple[bytes, bytes]
"""(slot, entry digest)"""


def slot_of(agent_id: str) -> bytes:
    """Return where an id belongs."""
    return sha256(agent_id.encode("utf-8", "surrogatepass")).digest()


def bucket_of(slot: bytes) -> int:
    """Return the slot's bucket: its first 18 bits."""
    return int.from_bytes(slot[:3], "big") >> 6


def path_of(bucket: int) -> tuple[int, int, int]:
    """Return the node numbers from the root down to the bucket."""
    return 0, 1 + (bucket >> 12), FIRST_LOW + (bucket >> 6)


def bucket_digest(pairs: Iterable[Pair]) -> bytes:
    """Return the digest of a bucket's pairs, in any order."""
    hasher = sha256(b"bucket\0")
    for slot, digest in sorted(pairs):
        hasher.update(slot)
        hasher.update(digest)
    return hasher.digest()


def node_digest(children: bytes) -> bytes:
    """Return the digest of a node's children's digests."""
    return sha256(b"node\0" + children).digest()


def child(children: bytes, place: int) -> bytes:
    """Return one child's digest."""
    return children[place * DIGEST : (place + 1) * DIGEST]


def differing(first: bytes, second: bytes) -> list[int]:
    """Return the places at which two nodes' children differ."""
    if first == second:
        return []
    return [place for place in range(FAN) if child(first, place) != child(second, place)]


EMPTY_BUCKET = bucket_digest(())
EMPTY_LOW = EMPTY_BUCKET * FAN
EMPTY_MIDDLE = node_digest(EMPTY_LOW) * FAN
EMPTY_ROOT_NODE = node_digest(EMPTY_MIDDLE) * FAN
EMPTY_ROOT = node_digest(EMPTY_ROOT_NODE)


def empty_node(number: int) -> bytes:
    """Return what a node without a row stands for."""
    if number == 0:
        return EMPTY_ROOT_NODE
    return EMPTY_MIDDLE if number < FIRST_LOW else EMPTY_LOW


def parent_of(number: int) -> tuple[int, int]:
    """Return a node's parent and its place in it."""
    if number < FIRST_LOW:
        return 0, number - 1
    low = number - FIRST_LOW
    return 1 + (low >> 6), low & 63


def child_of(number: int, place: int) -> int | None:
    """Return the node at a place of a node, or None where buckets are."""
    if number == 0:
        return 1 + place
    return None if number >= FIRST_LOW else FIRST_LOW + (number - 1) * FAN + place


def bucket_at(number: int, place: int) -> int:
    """Return the bucket at a place of one of the lowest nodes."""
    return (number - FIRST_LOW) * FAN + place


def wrong_node(root: bytes, bucket: int, nodes: Mapping[int, bytes]) -> int | None:
    """Return the first node on the bucket's path that is not what is above it says, or None."""
    expected = root
    places = (bucket >> 12, (bucket >> 6) & 63, bucket & 63)
    for number, place in zip(path_of(bucket), places, strict=True):
        children = nodes.get(number) or empty_node(number)
        if node_digest(children) != expected:
            return number
        expected = child(children, place)
    return None


def expected_bucket(bucket: int, nodes: Mapping[int, bytes]) -> bytes:
    """Return the bucket's digest as its node has it; the path is checked by `wrong_node`."""
    low = path_of(bucket)[2]
    return child(nodes.get(low) or EMPTY_LOW, bucket & 63)


def replace_buckets(
    nodes: MutableMapping[int, bytes], digests: Mapping[int, bytes]
) -> tuple[bytes, set[int]]:
    """Put new bucket digests into verified nodes; return the new root and the nodes changed."""
    changed: dict[int, dict[int, bytes]] = {}
    for bucket, digest in digests.items():
        changed.setdefault(path_of(bucket)[2], {})[bucket & 63] = digest
    touched: set[int] = set()
    root = EMPTY_ROOT
    while changed:
        above: dict[int, dict[int, bytes]] = {}
        for number, places in changed.items():
            children = bytearray(nodes.get(number) or empty_node(number))
            for place, digest in places.items():
                children[place * DIGEST : (place + 1) * DIGEST] = digest
            nodes[number] = bytes(children)
            touched.add(number)
            root = node_digest(nodes[number])
            if number:
                parent, place = parent_of(number)
                above.setdefault(parent, {})[place] = root
        changed = above
    return root, touched
