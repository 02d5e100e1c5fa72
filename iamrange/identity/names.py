"""The identity rooms' fixed names: written into policies, proofs and assertions."""

from __future__ import annotations

ISSUER = "https://idp.iamrange.example"
ASSERTION_ENDPOINT = f"{ISSUER}/assertion"
BROKER = "https://broker.iamrange.example"
AWS_SESSION_ENDPOINT = f"{BROKER}/aws/session"
AWS_AUDIENCE = "sts.amazonaws.com"

PROOF_TYPE = "agent-proof+jwt"
PROOF_LIFE = 60
ASSERTION_LIFE = 300
BROKERED_LIFE = 900
"""Seconds; 900 is the shortest session that AWS STS grants."""
