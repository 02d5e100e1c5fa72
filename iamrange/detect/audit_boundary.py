"""Signed boundaries: where a file of the log ends, and from where on a log is still kept.

- At a boundary all that a verifier needs of the records before it is in a few lines: how many they
  were, the last seal, and the tree's edge. Who deletes records on purpose leaves one behind, signed
  as the statement of a retirement; without one, what does not begin at the first record was cut.
- A head that was kept elsewhere still binds what came before: its root is over all records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_seal import EPOCH, SEAL_BYTES, key_of
from iamrange.detect.audit_tree import Tree
from iamrange.jose import (
    KeySet,
    Refusal,
    parse,
    parse_key_set,
    strict,
    verify_signature,
)
from iamrange.jose.gate import base64url, decode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.jose import SigningKey

BOUNDARY: Final = "audit-boundary+jwt"
RETIRED: Final = "audit-retired+jwt"
_CLAIMS: Final = frozenset({"log", "size", "offset", "before", "edge", "iat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """What is before a place in a log: `size` records in `offset` bytes, at `time` (seconds)."""

    log: str
    size: int
    offset: int
    before: bytes
    edge: tuple[bytes, ...]
    time: int

    def chain(self, first_key: bytes) -> Chain:
        """Return the chain from here on, for who has the anchor's first key."""
        tree = Tree(self.size, self.edge)
        return Chain(key_of(first_key, self.size // EPOCH), self.before, tree)


def sign_boundary(key: SigningKey, boundary: Boundary, typ: str) -> str:
    """Return the boundary, signed as what `typ` says: BOUNDARY or RETIRED."""
    claims = {
        "log": boundary.log,
        "size": boundary.size,
        "offset": boundary.offset,
        "before": base64url(boundary.before),
        "edge": [base64url(digest) for digest in boundary.edge],
        "iat": boundary.time,
    }
    return key.sign(claims, typ=typ)


def read_boundary(
    text: str, log: str, public_jwk: Mapping[str, Any], typ: str
) -> Boundary | Refusal:
    """Return what a boundary says if this key signed it for this log as that, else why not."""
    profile = replace(
        strict(typ), name="audit-boundary", required_claims=frozenset({"log", "before", "iat"})
    )
    keys = parse_key_set({"keys": [dict(public_jwk)]}, profile)
    token = parse(text.strip(), profile)
    if isinstance(token, Refusal):
        return token
    if not isinstance(keys, KeySet):
        return keys
    claims = verify_signature(token, keys, profile)
    if isinstance(claims, Refusal):
        return claims
    if set(claims) != _CLAIMS:
        return Refusal("malformed", f"a boundary's claims are {', '.join(sorted(_CLAIMS))}")
    if claims["log"] != log:
        return Refusal("another-log", "the boundary is of another log")
    try:
        found = Boundary(
            log=log,
            size=_count(claims["size"]),
            offset=_count(claims["offset"]),
            before=decode_base64url(str(claims["before"])),
            edge=tuple(decode_base64url(str(digest)) for digest in claims["edge"]),
            time=int(claims["iat"]),
        )
        Tree(found.size, found.edge)
    except (TypeError, ValueError) as error:
        return Refusal("malformed", f"a boundary's members: {error}")
    if len(found.before) != SEAL_BYTES:
        return Refusal("malformed", "a boundary's seal has another length")
    return found


def _count(value: object) -> int:
    """Return a number of records or bytes.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or value < 0:
        raise ValueError("expected a count")
    return value
