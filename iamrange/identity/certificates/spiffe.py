"""SPIFFE ids: the form that the SPIFFE-ID specification (section 2) gives them.

- An id that is not exactly canonical is no id: nothing is trimmed, folded or decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

TRUST_DOMAIN = "iamrange.example"

_SCHEME = "spiffe://"
_MAX_ID = 2048
_MAX_TRUST_DOMAIN = 255
_TRUST_DOMAIN_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_")
_SEGMENT_CHARACTERS = _TRUST_DOMAIN_CHARACTERS | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A well-formed id; `path` starts with a slash, or is empty for the trust domain itself."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        """Return the URI."""
        return f"{_SCHEME}{self.trust_domain}{self.path}"


def is_trust_domain(name: str) -> bool:
    """Tell whether the name can be a trust domain (SPIFFE-ID section 2.1)."""
    return 0 < len(name) <= _MAX_TRUST_DOMAIN and _TRUST_DOMAIN_CHARACTERS.issuperset(name)


def parse_spiffe_id(uri: str) -> SpiffeId | None:
    """Return the id that the URI is, or None if it is none (SPIFFE-ID sections 2.1 to 2.3)."""
    if len(uri) > _MAX_ID or not uri.startswith(_SCHEME):
        return None
    trust_domain, slash, rest = uri.removeprefix(_SCHEME).partition("/")
    if not is_trust_domain(trust_domain):
        return None
    if not slash:
        return SpiffeId(trust_domain, "")
    for segment in rest.split("/"):
        if segment in ("", ".", "..") or not _SEGMENT_CHARACTERS.issuperset(segment):
            return None
    return SpiffeId(trust_domain, f"/{rest}")
