"""Attacks on DPoP proofs."""

from __future__ import annotations

from tests.conformance.protected_cases import (
    admits,
    claims,
    edited_jwk,
    invalid_proof,
    invalid_token,
    nonce_wanted,
    pregenerated,
    proof,
    proof_header,
    proof_text,
    sent_twice,
    spent_by_a_refused_call,
    tampered,
    used_by_another_agent,
    used_then,
    used_with_another_token,
)
from tests.conformance.protected_lab import (
    NOW,
    RESOURCE,
    URL,
    Sent,
    ath,
    b64,
)

PROOFS = [
    invalid_proof(33, "the same call twice", "replayed", sent_twice),
    invalid_proof(33, "the same jti with another token", "replayed", used_with_another_token),
    *(
        invalid_proof(35, f"a used jti with {note}", "replayed", used_then(change, **options))
        for note, change, options in (
            ("a later iat", {"iat": NOW + 3}, {}),
            ("an earlier iat", {"iat": NOW - 50}, {}),
            ("htu in capitals", {"htu": "HTTPS://LOGS.iamrange.example/records"}, {}),
            ("the default port", {"htu": "https://logs.iamrange.example:443/records"}, {}),
            ("an encoded letter", {"htu": "https://logs.iamrange.example/%72ecords"}, {}),
            ("a query", {"htu": f"{URL}?a=1"}, {}),
            (
                "another method",
                {"htm": "POST"},
                {"method": "POST"},
            ),
            (
                "another path",
                {"htu": f"{RESOURCE}/other"},
                {"target": "/other"},
            ),
        )
    ),
    admits(35, "a jti that another agent has used", used_by_another_agent),
    admits(33, "a proof that came first with a call that was refused", spent_by_a_refused_call),
    *(
        invalid_proof(38, f"htm {htm!r}", reason, proof(htm=htm))
        for htm, reason in (
            ("POST", "method-mismatch"),
            ("get", "method-mismatch"),
            ("Get", "method-mismatch"),
            ("GET ", "method-mismatch"),
            ("", "missing-claim"),
            (None, "missing-claim"),
            (["GET"], "malformed"),
        )
    ),
    *(
        invalid_proof(39, f"htu {htu!r}", "uri-mismatch", proof(htu=htu))
        for htu in (
            "https://evil.example/records",
            "https://logs.iamrange.example.evil.example/records",
            "http://logs.iamrange.example/records",
            "https://logs.iamrange.example:8443/records",
            "https://logs.iamrange.example:80/records",
            "https://logs.iamrange.example/",
            "https://logs.iamrange.example",
            "https://logs.iamrange.example/records/",
            "https://logs.iamrange.example//records",
            "https://logs.iamrange.example/Records",
            "https://logs.iamrange.example/records%2F",
            "https://logs.iamrange.example/%2572ecords",
            "https://logs.iamrange.example/records;v=1",
            "https://logs.iamrange.example/records/..",
            "https://logs.iamrange.example/../records/x",
            "https://logs.iamrange.example/records\n",
            "https://logs.iamrange.example/rec\tords",
            "https:\\\\logs.iamrange.example\\records",
            "https://user@logs.iamrange.example/records",
            "https://logs.iamrange.example@evil.example/records",
            "https://logs.iamrange.example/réc",
            "https:///records",
            "//logs.iamrange.example/records",
            "/records",
            "records",
            "https://logs.iamrange.example/" + "x" * 2500,
        )
    ),
    invalid_proof(39, "no htu", "missing-claim", proof(htu=None)),
    invalid_proof(39, "htu a list", "malformed", proof(htu=[URL])),
    *(
        admits(39, f"htu {htu!r}", proof(htu=htu))
        for htu in (
            "HTTPS://logs.iamrange.example/records",
            "https://LOGS.IAMRANGE.EXAMPLE/records",
            "https://logs.iamrange.example:443/records",
            "https://logs.iamrange.example:/records",
            "https://logs.iamrange.example/%72%65cords",
            "https://logs.iamrange.example/./records",
            "https://logs.iamrange.example/x/../records",
            "https://logs.iamrange.example/../records",
            "https://logs.iamrange.example/records?page=3",
            "https://logs.iamrange.example/records#part",
            "https://logs.iamrange.example/records?#",
        )
    ),
    admits(
        39,
        "a query in the request alone",
        lambda lab: lab.call(lab.token(), target="/records?page=2&order=%22"),
    ),
    invalid_proof(41, "no ath", "missing-ath", proof(ath=None)),
    invalid_proof(41, "ath of another token", "ath-mismatch", proof(ath=ath("another"))),
    invalid_proof(41, "ath empty", "ath-mismatch", proof(ath="")),
    invalid_proof(
        41,
        "ath padded",
        "ath-mismatch",
        lambda lab: lab.call(t := lab.token(), lab.proof(t, ath=ath(t) + "=")),
    ),
    invalid_proof(
        41,
        "ath a list",
        "malformed",
        lambda lab: lab.call(t := lab.token(), lab.proof(t, ath=[ath(t)])),
    ),
    invalid_proof(
        41,
        "a proof for another token of the same agent",
        "ath-mismatch",
        lambda lab: lab.call(lab.token(), lab.proof(lab.token())),
    ),
    invalid_token(
        42,
        "a bound token as Bearer",
        "binding",
        "bound-token-as-bearer",
        lambda lab: lab.bearer(lab.token()),
    ),
    invalid_token(
        42,
        "a bound token as Bearer, with its proof",
        "binding",
        "bound-token-as-bearer",
        lambda lab: lab.bearer(t := lab.token(), ("DPoP", lab.proof(t))),
    ),
    invalid_token(42, "a plain token as DPoP", "binding", "not-dpop-bound", claims(cnf=None)),
    invalid_token(
        42,
        "a plain token as Bearer",
        "binding",
        "not-sender-constrained",
        lambda lab: lab.bearer(lab.token(cnf=None)),
    ),
    invalid_proof(
        42,
        "no proof",
        "missing-proof",
        lambda lab: Sent((("Authorization", f"DPoP {lab.token()}"),)),
    ),
    admits(
        42,
        "the scheme in another case",
        lambda lab: Sent((("authorization", f"dpOp {(t := lab.token())}"), ("dpop", lab.proof(t)))),
    ),
    invalid_token(
        43,
        "a proof by another key",
        "binding",
        "key-mismatch",
        lambda lab: lab.call(t := lab.token(), lab.proof(t, key=lab.other)),
    ),
    invalid_proof(
        43,
        "the agent's jwk, signed by another key",
        "signature-mismatch",
        lambda lab: lab.call(
            t := lab.token(), lab.proof(t, key=lab.other, header={"jwk": lab.agent.jwk})
        ),
    ),
    nonce_wanted("no nonce", "missing-nonce", proof(nonce=None)),
    nonce_wanted("a nonce made up", "stale-nonce", proof(nonce="eyJ7S_zG.eyJH0-Z.HX4w-7v")),
    nonce_wanted("an empty nonce", "stale-nonce", proof(nonce="")),
    nonce_wanted(
        "another server's nonce",
        "stale-nonce",
        lambda lab: lab.call(t := lab.token(), lab.proof(t, nonce=lab.other_server.current())),
    ),
    nonce_wanted("a nonce of two minutes ago", "stale-nonce", lambda lab: pregenerated(lab, -120)),
    nonce_wanted(
        "proofs made ahead and stolen",
        "stale-nonce",
        lambda lab: pregenerated(lab, -3600, iat=NOW),
        row=49,
    ),
    admits(45, "the nonce of a minute ago", lambda lab: pregenerated(lab, -60)),
    invalid_proof(45, "a nonce that is a number", "malformed", proof(nonce=1)),
    invalid_proof(
        46,
        "two proofs",
        "several-proofs",
        lambda lab: Sent((*lab.call(t := lab.token()).headers, ("DPoP", lab.proof(t)))),
    ),
    invalid_proof(
        46,
        "two proofs in one header",
        "malformed",
        lambda lab: lab.call(t := lab.token(), f"{lab.proof(t)}, {lab.proof(t)}"),
    ),
    invalid_proof(46, "an empty proof", "malformed", lambda lab: lab.call(lab.token(), "")),
    *(
        invalid_proof(47, f"alg {alg}", "algorithm-not-allowed", proof_header(alg=alg))
        for alg in ("none", "None", "HS256", "RS256", "ES384", "EdDSA", "es256")
    ),
    invalid_proof(
        47,
        "a symmetric jwk",
        "private-key",
        proof_header(alg="ES256", jwk={"kty": "oct", "k": "AAAA"}),
    ),
    invalid_proof(
        47,
        "a private jwk",
        "private-key",
        lambda lab: lab.call(t := lab.token(), lab.proof(t, header={"jwk": lab.agent.private_jwk})),
    ),
    *(
        invalid_proof(47, f"jwk {note}", reason, proof_header(jwk=jwk))
        for note, jwk, reason in (
            ("missing", None, "missing-header"),
            ("a text", "x", "missing-header"),
            ("empty", {}, "unusable-key"),
            (
                "off the curve",
                {
                    "kty": "EC",
                    "crv": "P-256",
                    "x": b64(bytes(31) + b"\1"),
                    "y": b64(bytes(31) + b"\1"),
                },
                "unusable-key",
            ),
            (
                "the point at infinity",
                {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))},
                "unusable-key",
            ),
            (
                "of another curve",
                {"kty": "EC", "crv": "P-384", "x": b64(bytes(48)), "y": b64(bytes(48))},
                "unusable-key",
            ),
            (
                "of another kind",
                {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))},
                "unusable-key",
            ),
        )
    ),
    *(
        invalid_proof(
            47,
            f"jwk {note}",
            reason,
            edited_jwk(edit),
        )
        for note, edit, reason in (
            ("for encryption", lambda j: {**j, "use": "enc"}, "unusable-key"),
            ("of alg ES384", lambda j: {**j, "alg": "ES384"}, "unusable-key"),
            ("that may only sign", lambda j: {**j, "key_ops": ["sign"]}, "unusable-key"),
            ("with an unknown member", lambda j: {**j, "x5c": ["MIIB"]}, "unusable-key"),
            (
                "with a zero byte before x",
                lambda j: {**j, "x": b64(b"\0" + bytes(32))},
                "unusable-key",
            ),
            ("with x padded", lambda j: {**j, "x": j["x"] + "="}, "unusable-key"),
        )
    ),
    admits(
        47,
        "jwk as a browser exports it",
        lambda lab: lab.call(
            t := lab.token(),
            lab.proof(t, header={"jwk": {**lab.agent.jwk, "ext": True, "key_ops": ["verify"]}}),
        ),
    ),
    *(
        invalid_proof(47, f"typ {typ!r}", "wrong-typ", proof_header(typ=typ))
        for typ in ("JWT", "at+jwt", "jwt", None)
    ),
    *(
        invalid_proof(47, f"{name} in the header", reason, proof_header(**{name: value}))
        for name, value, reason in (
            ("cty", "x", "header-not-allowed"),
            ("jku", "https://evil.example/jwks", "header-not-allowed"),
            ("crit", ["exp"], "critical-header"),
        )
    ),
    *(
        invalid_proof(0, f"iat {note}", reason, proof(iat=value))
        for note, value, reason in (
            ("66 s old", NOW - 66, "expired"),
            ("an hour old", NOW - 3600, "expired"),
            ("in 6 s", NOW + 6, "not-yet-valid"),
            ("in an hour", NOW + 3600, "not-yet-valid"),
            ("text", str(NOW), "malformed"),
            ("true", True, "malformed"),
            ("missing", None, "missing-claim"),
        )
    ),
    *(
        admits(0, f"iat {n}", proof(iat=v))
        for n, v in (("65 s old", NOW - 65), ("in 5 s", NOW + 5), ("a fraction", NOW - 0.5))
    ),
    *(
        invalid_proof(0, f"jti {note}", reason, proof(jti=value))
        for note, value, reason in (
            ("of 15 characters", "j" * 15, "malformed"),
            ("of 129 characters", "j" * 129, "malformed"),
            ("a number", 10**20, "malformed"),
            ("missing", None, "missing-claim"),
        )
    ),
    invalid_proof(0, "proof changed after signing", "signature-mismatch", proof_text(tampered)),
    invalid_proof(
        0,
        "proof with a zero signature",
        "signature-mismatch",
        proof_text(lambda p: f"{p.rpartition('.')[0]}.{b64(bytes(64))}"),
    ),
    invalid_proof(0, "proof of 5,000 characters", "too-long", proof(padding="x" * 5000)),
    invalid_proof(0, "proof that is no JWS", "malformed", lambda lab: lab.call(lab.token(), "x")),
]
