"""What became of trying a credential: live, dead, or unknown, and the reason. Pure."""

from __future__ import annotations

Answer = dict[str, str]
"""`state` is live, dead or unknown; `reason` says who said so. No secret in either."""


def live(reason: str) -> Answer:
    """Say that the credential opens something now."""
    return {"state": "live", "reason": reason}


def dead(reason: str) -> Answer:
    """Say that whoever issued it does not take it."""
    return {"state": "dead", "reason": reason}


def unknown(reason: str) -> Answer:
    """Say that nobody could tell."""
    return {"state": "unknown", "reason": reason}
