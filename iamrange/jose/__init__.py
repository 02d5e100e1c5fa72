"""JOSE behind one parse gate: three declared profiles, and types that show what was verified."""

from iamrange.jose.gate import Refusal, UnverifiedToken, parse, peek
from iamrange.jose.keys import KeySet, parse_key_set
from iamrange.jose.profile import AWS, GCP, STRICT, Profile, strict
from iamrange.jose.sign import SigningKey
from iamrange.jose.verify import VerifiedClaims, check_time, verify_signature

__all__ = [
    "AWS",
    "GCP",
    "STRICT",
    "KeySet",
    "Profile",
    "Refusal",
    "SigningKey",
    "UnverifiedToken",
    "VerifiedClaims",
    "check_time",
    "parse",
    "parse_key_set",
    "peek",
    "strict",
    "verify_signature",
]
