"""What the platforms guarantee and nobody can switch off."""

from __future__ import annotations

from dataclasses import replace

from iamrange.core.control import Invariant, Layer, Refusal
from iamrange.core.decision import Effect


def _token_refusal(point: str, layer: str, reason: str = "*") -> Refusal:
    return Refusal(point=point, layer=layer, effect=Effect.DENY, reason=reason)


def _platform_invariants(layer: Layer, point: str, cloud: str) -> tuple[Invariant, ...]:
    """Declare the four guarantees that both clouds' token verifiers give."""
    signature = _token_refusal(point, "signature")
    keys = _token_refusal(point, "keys")
    forged = replace(signature, reason="signature-mismatch")
    unsigned = _token_refusal(point, "token", "algorithm-not-allowed")
    expired = _token_refusal(point, "time", "expired")
    issuer = (
        _token_refusal(point, "provider", "no-provider")
        if layer is Layer.AWS
        else _token_refusal(point, "issuer", "issuer-mismatch")
    )
    return (
        Invariant(
            id=f"{layer}.verifies-signature",
            layer=layer,
            summary=f"{cloud} refuses a token that the issuer's key did not sign.",
            refusal=forged,
            rogue="UnsafeSkipsSignature",
            lacks=(signature, keys),
        ),
        Invariant(
            id=f"{layer}.refuses-unsigned",
            layer=layer,
            summary=f"{cloud} refuses a token whose algorithm is none.",
            refusal=unsigned,
            rogue="UnsafeAcceptsUnsigned",
            lacks=(unsigned, signature, keys),
        ),
        Invariant(
            id=f"{layer}.refuses-expired",
            layer=layer,
            summary=f"{cloud} refuses a token past its expiry.",
            refusal=expired,
            rogue="UnsafeSkipsExpiry",
            lacks=(expired,),
        ),
        Invariant(
            id=f"{layer}.knows-its-issuers",
            layer=layer,
            summary=f"{cloud} refuses a token of an issuer that nobody registered.",
            refusal=issuer,
            rogue="UnsafeAcceptsAnyIssuer",
            lacks=(issuer, signature, keys),
        ),
    )


INVARIANTS = (
    *_platform_invariants(Layer.AWS, "aws.web-identity", "AWS STS"),
    *_platform_invariants(Layer.GCP, "gcp.sts", "Google STS"),
)
"""All of them, in the order in which they are listed."""
