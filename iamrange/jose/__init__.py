"""JOSE behind one parse gate: three declared profiles, and types that show what was verified."""

from iamrange.jose.gate import Refusal, UnverifiedToken, parse, peek
from iamrange.jose.keys import KeySet, PublicKey, parse_embedded_key, parse_key_set, thumbprint
from iamrange.jose.profile import AWS, GCP, STRICT, Profile, strict
from iamrange.jose.sign import Signer, SigningKey, compact
from iamrange.jose.verify import VerifiedClaims, check_time, verify_embedded, verify_signature

__all__ = [
    "AWS",
    "GCP",
    "STRICT",
    "KeySet",
    "Profile",
    "PublicKey",
    "Refusal",
    "Signer",
    "SigningKey",
    "UnverifiedToken",
    "VerifiedClaims",
    "check_time",
    "compact",
    "parse",
    "parse_embedded_key",
    "parse_key_set",
    "peek",
    "strict",
    "thumbprint",
    "verify_embedded",
    "verify_signature",
]
