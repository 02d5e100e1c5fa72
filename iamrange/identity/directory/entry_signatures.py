"""Signatures over entries: each row carries all that shows who signed it, and needs no other row.

- An entry that is written alone: 64 octets, Ed25519 over its body.
- Entries written together, in groups of up to 32: one Ed25519 signature over the root of a binary
  hash tree of their bodies, then the entry's place (one octet), then the digests of its siblings
  from the leaf up. Groups are powers of two, so that the path's length is the tree's depth.
- Leaf, pair and root are domain-separated, and the root is signed with its depth: nothing
  inside one tree passes for a leaf or for a root (ADR 5 argues that this is as strong).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from iamrange.identity.directory.encoding import ENTRY_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.identity.directory.signing import DirectoryKey, DirectoryPublicKey

GROUP = 32
GROUP_CONTEXT = b"iamrange-directory-entries-v1\0"
_LEAF = b"signed-leaf\0"
_PAIR = b"signed-pair\0"
_SIGNATURE = 64
_DIGEST = 32
_PLACED = _SIGNATURE + 1


def sign_entries(key: DirectoryKey, bodies: Sequence[bytes]) -> list[bytes]:
    """Return what each entry carries as its signature, in the order of the bodies."""
    signatures: list[bytes] = []
    size = GROUP
    first = 0
    while first < len(bodies):
        while size > len(bodies) - first:
            size //= 2
        group = bodies[first : first + size]
        signatures += _sign_group(key, group) if size > 1 else [key.sign(ENTRY_CONTEXT + group[0])]
        first += size
    return signatures


def entry_signed(
    key: DirectoryPublicKey, signature: bytes, body: bytes, known: set[bytes] | None = None
) -> bool:
    """Tell whether the key signed this entry.

    `known` holds group signatures with their messages that were verified before, and takes those
    that are verified now: who reads a whole table checks each group's signature once.
    """
    path = len(signature) - _PLACED
    if path < 0:
        return key.verifies(signature, ENTRY_CONTEXT + body)
    depth, rest = divmod(path, _DIGEST)
    place = signature[_SIGNATURE]
    # one form for one entry: no empty path, no place outside of the tree
    if rest or not 1 <= depth <= GROUP.bit_length() - 1 or place >> depth:
        return False
    digest = sha256(_LEAF + body).digest()
    for start in range(_PLACED, len(signature), _DIGEST):
        sibling = signature[start : start + _DIGEST]
        pair = sibling + digest if place & 1 else digest + sibling
        digest = sha256(_PAIR + pair).digest()
        place >>= 1
    own, message = signature[:_SIGNATURE], _message(depth, digest)
    if known is not None and own + message in known:
        return True
    if not key.verifies(own, message):
        return False
    if known is not None:
        known.add(own + message)
    return True


def _sign_group(key: DirectoryKey, bodies: Sequence[bytes]) -> list[bytes]:
    levels = [[sha256(_LEAF + body).digest() for body in bodies]]
    while len(below := levels[-1]) > 1:
        pairs = zip(below[::2], below[1::2], strict=True)
        levels.append([sha256(_PAIR + left + right).digest() for left, right in pairs])
    paths = [b""]
    for level in levels[-2::-1]:
        paths = [level[place ^ 1] + paths[place >> 1] for place in range(len(level))]
    own = key.sign(_message(len(levels) - 1, levels[-1][0]))
    return [own + bytes((place,)) + path for place, path in enumerate(paths)]


def _message(depth: int, root: bytes) -> bytes:
    return GROUP_CONTEXT + bytes((depth,)) + root
