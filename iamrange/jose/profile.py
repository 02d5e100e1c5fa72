"""What a verifier asks of a token before it looks at a signature: three declared profiles.

- `STRICT` is ours. `AWS` and `GCP` keep the real laxness of those clouds: it is shown, not
  repaired.
- A profile is data; the one gate in `gate.py` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

RSA_AND_EC = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The declared demands of one verifier. Lengths are characters, times are seconds."""

    name: str
    max_length: int
    algorithms: frozenset[str]
    expiry_leeway: int
    not_before_leeway: int
    required_claims: frozenset[str]
    required_typ: str | None = None
    """The exact `typ`, compared without case and without `application/` (RFC 7515 4.1.9)."""
    header_allow_list: frozenset[str] | None = None
    """The only header members allowed; None lets unknown ones pass unread."""
    requires_kid: bool = False
    integer_dates: bool = False
    max_lifetime: int | None = None
    """The longest `exp - iat`."""
    max_age: int | None = None
    """The longest `now - iat`, whatever `exp` says."""


def strict(typ: str) -> Profile:
    """Return our own profile for tokens of exactly this `typ`."""
    return Profile(
        name=f"strict:{typ}",
        max_length=8192,
        algorithms=frozenset({"ES256"}),
        expiry_leeway=5,
        not_before_leeway=5,
        required_claims=frozenset({"iss", "sub", "aud", "iat", "exp"}),
        required_typ=typ,
        header_allow_list=frozenset({"alg", "kid", "typ"}),
        requires_kid=True,
        integer_dates=True,
        max_lifetime=300,
    )


STRICT = strict("JWT")
"""The strict profile for a plain JWT; `strict(typ)` makes the others."""

AWS = Profile(
    name="aws",
    max_length=20_000,
    algorithms=RSA_AND_EC,
    # IAM user guide, "Create an OpenID Connect identity provider": a five-minute window
    # beyond the expiration time allows for clock skew.
    expiry_leeway=300,
    # the other direction is not documented; the same window is assumed
    not_before_leeway=300,
    required_claims=frozenset({"iss", "sub", "aud", "iat", "exp"}),
    # STS API reference, WebIdentityToken: timestamps are an integer or a long integer
    integer_dates=True,
    # STS answers "Token too old: N" for an old `iat` alone. Its limit is undocumented: one day
    # plus the skew window lies between what is known to pass (a day-old projected Kubernetes
    # token) and what is known to fail (441398 s).
    max_age=86_400 + 300,
)

GCP = Profile(
    name="gcp",
    max_length=16_000,
    algorithms=frozenset({"RS256", "ES256"}),
    expiry_leeway=0,
    not_before_leeway=60,
    # an absent claim is refused by the gate that looks at it, in that gate's words
    required_claims=frozenset(),
    # Workload identity federation, "Prepare your external IdP": iat in the past, exp in the
    # future and at most 24 hours apart
    max_lifetime=86_400,
)
