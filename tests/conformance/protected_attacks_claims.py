"""Attacks with the claims of a token: dates, audience, issuer, kind, shape, scope."""

from __future__ import annotations

from tests.conformance.protected_cases import (
    Case,
    Verdict,
    acting,
    admits,
    by_key,
    claims,
    header,
    invalid_token,
    replaced,
)
from tests.conformance.protected_lab import (
    ACTOR,
    AGENT,
    NOW,
    RESOURCE,
    THIRD,
)

CLAIMS = [
    *(
        invalid_token(25, f"no {name}", "token", "missing-claim", claims(**{name: None}))
        for name in ("exp", "iat", "iss", "sub", "aud", "client_id", "jti")
    ),
    *(
        invalid_token(26, f"exp {note}", "token", "malformed", claims(exp=value))
        for note, value in (
            ("text", str(NOW + 200)),
            ("true", True),
            ("a list", [NOW + 200]),
            ("an object", {"at": NOW + 200}),
            ("a fraction", NOW + 200.5),
            ("negative", -1),
            ("beyond all time", 10**30),
        )
    ),
    *(
        invalid_token(
            26,
            f"exp {note}",
            "token",
            "malformed",
            replaced(str(NOW + 200).encode(), value),
        )
        for note, value in (
            ("NaN", b"NaN"),
            ("Infinity", b"Infinity"),
            ("1e400", b"1e400"),
            ("5000 digits", b"9" * 2000),
            ("hexadecimal", b"0x7fffffff"),
        )
    ),
    *(
        invalid_token(26, f"{name} text", "token", "malformed", claims(**{name: str(NOW)}))
        for name in ("iat", "nbf")
    ),
    invalid_token(26, "lives 301 s", "time", "lifetime-too-long", claims(iat=NOW, exp=NOW + 301)),
    invalid_token(26, "lives a year", "time", "lifetime-too-long", claims(exp=NOW + 31_536_000)),
    invalid_token(
        26, "ends before it began", "time", "lifetime-too-long", claims(iat=NOW + 4, exp=NOW)
    ),
    admits(26, "lives 300 s", claims(iat=NOW, exp=NOW + 300)),
    invalid_token(27, "expired 6 s ago", "time", "expired", claims(iat=NOW - 200, exp=NOW - 6)),
    invalid_token(
        27, "expired an hour ago", "time", "expired", claims(iat=NOW - 3800, exp=NOW - 3600)
    ),
    invalid_token(27, "nbf in 6 s", "time", "not-yet-valid", claims(nbf=NOW + 6)),
    invalid_token(27, "iat in 6 s", "time", "not-yet-valid", claims(iat=NOW + 6)),
    admits(27, "expired 5 s ago", claims(iat=NOW - 200, nbf=NOW - 200, exp=NOW - 5)),
    admits(27, "nbf in 5 s", claims(nbf=NOW + 5)),
    *(
        invalid_token(29, f"aud {aud!r}", "audience", reason, claims(aud=aud))
        for aud, reason in (
            ("https://hr.iamrange.example", "wrong-audience"),
            (f"{RESOURCE}/", "wrong-audience"),
            (RESOURCE.upper(), "wrong-audience"),
            (f"{RESOURCE}.evil.example", "wrong-audience"),
            ("https://api.iamrange.example", "wrong-audience"),
            ([RESOURCE], "several-audiences"),
            ([RESOURCE, "https://hr.iamrange.example"], "several-audiences"),
            (["https://hr.iamrange.example"], "several-audiences"),
        )
    ),
    *(
        invalid_token(29, f"iss {iss!r}", "issuer", "wrong-issuer", claims(iss=iss))
        for iss in (
            "https://idp.iamrange.example",
            "https://auth.iamrange.example/",
            "https://AUTH.iamrange.example",
            "http://auth.iamrange.example",
        )
    ),
    *(
        invalid_token(30, f"typ {typ!r}", "token", "wrong-typ", header(typ=typ))
        for typ in (
            "JWT",
            "dpop+jwt",
            "client-authentication+jwt",
            "logout+jwt",
            "oauth-id-jag+jwt",
            "txntoken+jwt",
            "secevent+jwt",
            "token-introspection+jwt",
            "agent-proof+jwt",
            "at+jwt2",
            "text/at+jwt",
            "at+jwt ",
            "",
            None,
        )
    ),
    invalid_token(30, "typ a list", "token", "malformed", header(typ=["at+jwt"])),
    admits(30, "application/at+jwt", header(typ="application/at+jwt")),
    admits(30, "AT+JWT", header(typ="AT+JWT")),
    invalid_token(
        30,
        "the proof as the token",
        "token",
        "header-not-allowed",
        lambda lab: lab.call(lab.proof("x"), lab.proof("x")),
    ),
    invalid_token(31, "a published key of use enc", "keys", "unknown-key", header(kid="use-enc")),
    invalid_token(
        31, "a published key that may only sign", "keys", "unknown-key", header(kid="ops-sign")
    ),
    invalid_token(
        31, "a published key of another alg", "keys", "unknown-key", header(kid="alg-es384")
    ),
    invalid_token(
        31,
        "signed by the agent's own key",
        "keys",
        "unknown-key",
        by_key(lambda lab: lab.agent, lambda lab: lab.agent.thumbprint),
    ),
    invalid_token(
        31,
        "by the agent's key under the issuer's kid",
        "signature",
        "signature-mismatch",
        by_key(lambda lab: lab.agent, lambda lab: lab.issuer.thumbprint),
    ),
    *(
        invalid_token(0, f"{name} {value!r}", "token", "malformed", claims(**{name: value}))
        for name, value in (
            ("scope", ["read:logs"]),
            ("scope", "read:logs  write:logs"),
            ("scope", 'a"b'),
            ("cnf", {}),
            ("cnf", "x"),
            ("cnf", {"jkt": 1}),
            ("cnf", {"jkt": "short"}),
            ("cnf", {"kid": "x"}),
            ("epochs", None),
            ("epochs", {}),
            ("epochs", {AGENT: "1"}),
            ("epochs", {AGENT: True}),
            ("epochs", {THIRD: 1}),
            ("ancestors", "x"),
            ("ancestors", [1]),
            ("act", {}),
            ("act", {"sub": ACTOR}),
            ("sub", "s" * 300),
            ("jti", ""),
        )
        if (name, value) not in (("epochs", None), ("jti", ""))
    ),
    invalid_token(0, "no epochs", "token", "malformed", claims(epochs=None)),
    invalid_token(
        0,
        "five actors",
        "token",
        "malformed",
        claims(
            act={
                "sub": "1",
                "act": {"sub": "2", "act": {"sub": "3", "act": {"sub": "4", "act": {"sub": "5"}}}},
            }
        ),
    ),
    invalid_token(
        0, "an actor twice", "token", "malformed", claims(act={"sub": ACTOR, "act": {"sub": ACTOR}})
    ),
    admits(0, "a good token", claims()),
    admits(0, "an unknown claim", claims(department="logs")),
    admits(0, "an actor", acting()),
    Case(
        0,
        "a scope that is not held",
        lambda lab: lab.call(
            t := lab.token(), lab.proof(t, htu=f"{RESOURCE}/purge"), target="/purge"
        ),
        Verdict(403, "insufficient_scope", "scope", "insufficient-scope"),
    ),
    Case(
        0,
        "no scope",
        claims(scope=None),
        Verdict(403, "insufficient_scope", "scope", "insufficient-scope"),
    ),
    Case(
        0,
        "a scope by prefix",
        claims(scope="read:logs-of-others read"),
        Verdict(403, "insufficient_scope", "scope", "insufficient-scope"),
    ),
]
