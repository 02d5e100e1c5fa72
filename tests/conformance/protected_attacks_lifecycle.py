"""Attacks across the life of a token: certificates, revocation, rotation, presentation."""

from __future__ import annotations

import secrets

from tests.conformance.protected_cases import (
    Case,
    Verdict,
    admits,
    both,
    by_key,
    certificate_token,
    instead,
    invalid_request,
    invalid_token,
    killed,
    with_parameter,
)
from tests.conformance.protected_lab import (
    Sent,
)

LIFECYCLE = [
    admits(
        63,
        "a certificate token with its certificate",
        lambda lab: lab.with_certificate(lab.bearer(certificate_token(lab))),
    ),
    invalid_token(
        63,
        "no certificate",
        "binding",
        "missing-certificate",
        lambda lab: lab.bearer(certificate_token(lab)),
    ),
    invalid_token(
        63,
        "another certificate",
        "binding",
        "certificate-mismatch",
        lambda lab: lab.with_certificate(
            lab.bearer(certificate_token(lab)), secrets.token_bytes(400)
        ),
    ),
    invalid_token(
        63,
        "the certificate with a byte more",
        "binding",
        "certificate-mismatch",
        lambda lab: lab.with_certificate(
            lab.bearer(certificate_token(lab)), lab.certificate + b"\0"
        ),
    ),
    invalid_token(
        63,
        "a certificate token as DPoP",
        "binding",
        "not-dpop-bound",
        lambda lab: lab.with_certificate(lab.call(certificate_token(lab))),
    ),
    admits(67, "both, with both", lambda lab: lab.with_certificate(lab.call(both(lab)))),
    invalid_token(
        67,
        "both, without the certificate",
        "binding",
        "missing-certificate",
        lambda lab: lab.call(both(lab)),
    ),
    invalid_token(
        67,
        "both, with another certificate",
        "binding",
        "certificate-mismatch",
        lambda lab: lab.with_certificate(lab.call(both(lab)), b"another"),
    ),
    invalid_token(
        67,
        "both, with the certificate alone",
        "binding",
        "bound-token-as-bearer",
        lambda lab: lab.with_certificate(lab.bearer(both(lab))),
    ),
    invalid_token(
        67,
        "both, with another key",
        "binding",
        "key-mismatch",
        lambda lab: lab.with_certificate(lab.call(t := both(lab), lab.proof(t, key=lab.other))),
    ),
    *(
        invalid_token(69, note, "revocation", reason, build)
        for note, reason, build in (
            ("an epoch raised", "epoch-raised", lambda lab: killed(lab, "epoch")),
            ("an agent quarantined", "agent-inactive", lambda lab: killed(lab, "quarantined")),
            ("an agent retired", "agent-inactive", lambda lab: killed(lab, "retired")),
            ("an agent expired", "agent-inactive", lambda lab: killed(lab, "expired")),
            ("an unknown agent", "agent-inactive", lambda lab: killed(lab, "unknown")),
            ("a token revoked", "token-revoked", lambda lab: killed(lab, "jti")),
            ("an ancestor revoked", "ancestor-revoked", lambda lab: killed(lab, "ancestor")),
            ("an actor's epoch raised", "epoch-raised", lambda lab: killed(lab, "actor-epoch")),
            ("an actor quarantined", "agent-inactive", lambda lab: killed(lab, "actor-state")),
        )
    ),
    admits(
        71,
        "an older key, still published",
        by_key(lambda lab: lab.retired, lambda lab: lab.retired.thumbprint),
    ),
    invalid_token(
        71,
        "a key that was withdrawn",
        "keys",
        "unknown-key",
        by_key(lambda lab: lab.other, lambda lab: lab.other.thumbprint),
    ),
    invalid_token(
        71,
        "an old kid with a new key",
        "signature",
        "signature-mismatch",
        by_key(lambda lab: lab.other, lambda lab: lab.retired.thumbprint),
    ),
    *(
        invalid_request(
            73,
            f"token in the {where}, as {name}",
            f"token-in-{where}",
            with_parameter(where, name, value),
        )
        for where in ("query", "form", "cookie")
        for name, value in (
            ("access_token", lambda lab: lab.token()),
            ("access%5Ftoken", lambda _: "x"),
            ("ACCESS_TOKEN", lambda _: ""),
            ("jwt", lambda lab: lab.token()),
        )
    ),
    *(
        invalid_request(73, f"token in the {where} alone", f"token-in-{where}", instead(where))
        for where in ("query", "form", "cookie")
    ),
    invalid_request(
        73,
        "two Authorization headers",
        "several-authorizations",
        lambda lab: Sent((*lab.call(t := lab.token()).headers, ("Authorization", f"DPoP {t}"))),
    ),
    invalid_request(
        73,
        "two Authorization headers, one of another scheme",
        "several-authorizations",
        lambda lab: Sent((*lab.call(lab.token()).headers, ("Authorization", "Basic eDp5"))),
    ),
    invalid_request(
        73,
        "two tokens in one header",
        "several-authorizations",
        lambda lab: Sent(
            (("Authorization", f"DPoP {(t := lab.token())}, Bearer {t}"), ("DPoP", lab.proof(t)))
        ),
    ),
    invalid_request(
        73,
        "a scheme alone",
        "malformed-authorization",
        lambda _: Sent((("Authorization", "Bearer"),)),
    ),
    admits(
        73,
        "a harmless query, form name and cookie",
        lambda lab: Sent(
            (*lab.call(lab.token()).headers, ("Cookie", "a=b; c=eyJx.y.z")),
            target="/records?access=token&x=eyJ",
        ),
    ),
    Case(0, "no credentials", lambda _: Sent(()), Verdict(401, "", "presentation", "no-token")),
    Case(
        0,
        "another scheme",
        lambda _: Sent((("Authorization", "Basic eDp5"),)),
        Verdict(401, "", "presentation", "no-token"),
    ),
]
