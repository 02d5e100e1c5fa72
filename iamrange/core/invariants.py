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


def _service_invariants() -> tuple[Invariant, ...]:
    """Declare what our own services' verifier guarantees about access tokens and proofs."""
    point = "rs.token"
    signature, keys = _token_refusal(point, "signature"), _token_refusal(point, "keys")
    algorithm = _token_refusal(point, "token", "algorithm-not-allowed")
    header = _token_refusal(point, "token", "header-not-allowed")
    issuer = _token_refusal(point, "issuer")
    request = _token_refusal(point, "proof", "uri-mismatch")
    replayed = _token_refusal(point, "proof", "replayed")
    other_key = _token_refusal(point, "binding", "key-mismatch")
    return tuple(
        Invariant(
            id=f"{Layer.IDENTITY}.{name}",
            layer=Layer.IDENTITY,
            summary=summary,
            refusal=refusal,
            rogue=rogue,
            lacks=lacks,
        )
        for name, summary, refusal, rogue, lacks in (
            (
                "verifies-signature",
                "A service refuses a token that the token service's key did not sign.",
                replace(signature, reason="signature-mismatch"),
                "UnsafeVerifierSkipsSignature",
                (signature, keys),
            ),
            (
                "allows-one-algorithm",
                "A service takes ES256 and no other algorithm, whatever a token names.",
                algorithm,
                "UnsafeVerifierAsksTheTokenForItsAlgorithm",
                (algorithm, signature, keys),
            ),
            (
                "ignores-keys-in-tokens",
                "A service verifies with the published keys, never with one in the token.",
                header,
                "UnsafeVerifierTakesEmbeddedKeys",
                (header, signature, keys),
            ),
            (
                "knows-its-issuer",
                "A service takes tokens of one issuer.",
                issuer,
                "UnsafeVerifierTakesAnyIssuer",
                (issuer, signature, keys),
            ),
            (
                "compares-keys",
                "A proof of possession must be by the key that the token is bound to.",
                other_key,
                "UnsafeVerifierComparesNoKeys",
                (other_key,),
            ),
            (
                "ties-proof-to-request",
                "A proof of possession must name the method and the address that it comes with.",
                request,
                "UnsafeVerifierSkipsTheRequest",
                (request,),
            ),
            (
                "spends-proofs",
                "A proof of possession is taken once.",
                replayed,
                "UnsafeVerifierForgetsProofs",
                (replayed,),
            ),
        )
    )


INVARIANTS = (
    *_platform_invariants(Layer.AWS, "aws.web-identity", "AWS STS"),
    *_platform_invariants(Layer.GCP, "gcp.sts", "Google STS"),
    *_service_invariants(),
)
"""All of them, in the order in which they are listed."""
