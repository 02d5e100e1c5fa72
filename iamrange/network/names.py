"""The host names that a world answers for, and how a pattern matches a name.

- A name that no pattern matches does not exist in the world: the proxy refuses it.
"""

from __future__ import annotations

IDP_HOST = "idp.iamrange.example"
BROKER_HOST = "broker.iamrange.example"
VAULT_HOST = "vault.iamrange.example"
ATTACKER_HOST = "idp.attacker.example"
"""A host of the attacker's own: nobody in the range vouches for what it says."""

DROP_HOST = "drop.attacker.example"
"""Another: it keeps whatever is sent to it."""

GOOGLE_ISSUER_HOST = "accounts.google.com"
GOOGLE_KEYS_HOST = "www.googleapis.com"
AWS_PATTERN = "*.amazonaws.com"
GCP_PATTERN = "*.googleapis.com"

_MAX_NAME = 253
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def canonical_host(name: str) -> str | None:
    """Return the name in lower case without its trailing dot, or None if it is no DNS name."""
    host = name.lower().removesuffix(".")
    if not host or len(host) > _MAX_NAME:
        return None
    for label in host.split("."):
        if not label or len(label) > 63 or not _LABEL_CHARACTERS.issuperset(label):  # noqa: PLR2004 - RFC 1035 section 2.3.4
            return None
    return host


def host_matches(pattern: str, host: str) -> bool:
    """Tell whether the host is what the pattern names.

    `*` matches every host; `*.example` matches any name below `example`, however deep, and not
    `example` itself; anything else matches itself alone.
    """
    if pattern == "*":
        return True
    canonical = canonical_host(host)
    if canonical is None:
        return False
    if pattern.startswith("*."):
        return canonical.endswith(pattern[1:]) and len(canonical) > len(pattern) - 1
    return canonical == pattern
