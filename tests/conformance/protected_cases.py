"""How a case of an attack is written: its row, what it changes, and the right verdict.

- `row` is the row of the table of attacks on tokens that a case belongs to; 0: our own.
- A case changes one thing of a call that is admitted.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

from tests.conformance.protected_lab import (
    ACTOR,
    AGENT,
    NOW,
    Key,
    Lab,
    Sent,
    b64,
    compact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = Any


@dataclass(frozen=True)
class Verdict:
    status: int
    error: str
    layer: str
    reason: str


@dataclass(frozen=True)
class Case:
    row: int
    note: str
    build: Callable[[Lab], Sent]
    verdict: Verdict

    @property
    def id(self) -> str:
        return f"{self.row:02}: {self.note[:80]}"


def admits(row: int, note: str, build: Callable[[Lab], Sent]) -> Case:
    return Case(row, note, build, Verdict(200, "", "", "admitted"))


def invalid_token(
    row: int, note: str, layer: str, reason: str, build: Callable[[Lab], Sent]
) -> Case:
    return Case(row, note, build, Verdict(401, "invalid_token", layer, reason))


def invalid_proof(row: int, note: str, reason: str, build: Callable[[Lab], Sent]) -> Case:
    return Case(row, note, build, Verdict(401, "invalid_dpop_proof", "proof", reason))


def invalid_request(row: int, note: str, reason: str, build: Callable[[Lab], Sent]) -> Case:
    return Case(row, note, build, Verdict(400, "invalid_request", "presentation", reason))


def nonce_wanted(note: str, reason: str, build: Callable[[Lab], Sent], *, row: int = 45) -> Case:
    return Case(row, note, build, Verdict(401, "use_dpop_nonce", "proof", reason))


# how a case changes a call


def header(**members: Json) -> Callable[[Lab], Sent]:
    return lambda lab: lab.call(lab.token(header=members))


def claims(**members: Json) -> Callable[[Lab], Sent]:
    return lambda lab: lab.call(lab.token(**members))


def raw(edit: Callable[[Lab, bytes, bytes], tuple[bytes, bytes]]) -> Callable[[Lab], Sent]:
    """A token whose header and claims are edited as bytes, and signed as they are then."""

    def build(lab: Lab) -> Sent:
        parts = edit(lab, compact(lab.header()), compact(lab.claims()))
        return lab.call(lab.issuer.sign(*parts))

    return build


def text(edit: Callable[[str], str]) -> Callable[[Lab], Sent]:
    """A token that is edited after it was signed."""
    return lambda lab: lab.call(edit(lab.token()))


def signature(make: Callable[[Lab, bytes], bytes]) -> Callable[[Lab], Sent]:
    """A token with another signature over the same text."""

    def build(lab: Lab) -> Sent:
        signed = lab.token().rpartition(".")[0]
        return lab.call(f"{signed}.{b64(make(lab, signed.encode()))}")

    return build


def keyed_hash(alg: str, secret: Callable[[Lab], bytes]) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        signed = f"{b64(compact(lab.header(alg=alg)))}.{b64(compact(lab.claims()))}"
        tag = hmac.new(secret(lab), signed.encode(), hashlib.sha256).digest()
        return lab.call(f"{signed}.{b64(tag)}")

    return build


def pem(lab: Lab) -> bytes:
    return lab.issuer.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def unsigned(alg: str) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        return lab.call(f"{b64(compact(lab.header(alg=alg)))}.{b64(compact(lab.claims()))}.")

    return build


def by_key(
    key: Callable[[Lab], Key], kid: Callable[[Lab], str], **members: Json
) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        made = lab.header(kid=kid(lab), **members)
        return lab.call(key(lab).sign(made, lab.claims()))

    return build


def proof(**members: Json) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        token = lab.token()
        return lab.call(token, lab.proof(token, **members))

    return build


def proof_header(**members: Json) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        token = lab.token()
        return lab.call(token, lab.proof(token, header=members))

    return build


def edited_jwk(edit: Callable[[dict[str, str]], Json]) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        token = lab.token()
        return lab.call(token, lab.proof(token, header={"jwk": edit(lab.agent.jwk)}))

    return build


def replaced(old: bytes, new: bytes) -> Callable[[Lab], Sent]:
    """A token whose claims have some bytes replaced before they are signed."""
    return raw(lambda _, head, body: (head, body.replace(old, new)))


def of_length(length: int) -> Callable[[Lab], Sent]:
    return lambda lab: lab.call(padded(lab, length))


def proof_text(edit: Callable[[str], str]) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        token = lab.token()
        return lab.call(token, edit(lab.proof(token)))

    return build


def used_then(change: Mapping[str, Json], **options: Json) -> Callable[[Lab], Sent]:
    """A proof that was used, made again under the same jti with one thing spelt otherwise."""

    def build(lab: Lab) -> Sent:
        token, jti = lab.token(), secrets.token_urlsafe(16)
        first = lab.send(lab.call(token, lab.proof(token, jti=jti)))
        assert first.status == 200
        return lab.call(token, lab.proof(token, jti=jti, **change), **options)

    return build


def sent_twice(lab: Lab) -> Sent:
    token = lab.token()
    sent = lab.call(token)
    assert lab.send(sent).status == 200
    return sent


def used_with_another_token(lab: Lab) -> Sent:
    jti = secrets.token_urlsafe(16)
    first, second = lab.token(), lab.token()
    assert lab.send(lab.call(first, lab.proof(first, jti=jti))).status == 200
    return lab.call(second, lab.proof(second, jti=jti))


def used_by_another_agent(lab: Lab) -> Sent:
    """A jti is one key's: another agent cannot spend it, by accident or on purpose."""
    jti = secrets.token_urlsafe(16)
    others = lab.token(cnf={"jkt": lab.other.thumbprint})
    sent = lab.call(others, lab.proof(others, key=lab.other, jti=jti))
    assert lab.send(sent).status == 200
    token = lab.token()
    return lab.call(token, lab.proof(token, jti=jti))


def spent_by_a_refused_call(lab: Lab) -> Sent:
    """A proof that was sent with a call that another layer refused is not spent."""
    token = lab.token()
    made = lab.proof(token)
    refused = lab.call(lab.token(exp=NOW - 60), made)
    assert lab.send(refused).status == 401
    return lab.call(token, made)


def certificate_token(lab: Lab, **cnf: str) -> str:
    return lab.token(cnf={"x5t#S256": lab.certificate_thumbprint, **cnf})


def both(lab: Lab) -> str:
    return certificate_token(lab, jkt=lab.agent.thumbprint)


def acting(**changed: Json) -> Callable[[Lab], Sent]:
    members = {"act": {"sub": ACTOR}, "epochs": {AGENT: 1, ACTOR: 1}, **changed}
    return claims(**members)


def with_parameter(where: str, name: str, value: Callable[[Lab], str]) -> Callable[[Lab], Sent]:
    def build(lab: Lab) -> Sent:
        token, held = lab.token(), value(lab)
        if where == "query":
            return lab.call(token, target=f"/records?page=2&{name}={held}")
        if where == "form":
            form = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
            made = lab.proof(token, htm="POST")
            call = lab.call(token, made, method="POST", body=f"page=2&{name}={held}")
            return Sent((*call.headers, form), call.method, call.target, call.body)
        call = lab.call(token)
        return Sent((*call.headers, ("Cookie", f"theme=dark; {name}={held}")))

    return build


def instead(where: str) -> Callable[[Lab], Sent]:
    """The token is there alone, with no Authorization header."""

    def build(lab: Lab) -> Sent:
        made = with_parameter(where, "access_token", lambda lab: lab.token())(lab)
        left = tuple(header for header in made.headers if header[0] != "Authorization")
        return Sent(left, made.method, made.target, made.body)

    return build


def padded(lab: Lab, length: int) -> str:
    claims = lab.claims(padding="")
    spare = length - len(lab.issuer.sign(lab.header(), claims))
    return lab.issuer.sign(lab.header(), {**claims, "padding": "x" * (spare * 3 // 4 + 3)})


def killed(lab: Lab, how: str) -> Sent:
    """A token of an agent of its own, killed in one way."""
    name = f"spiffe://iamrange.example/agent/{secrets.token_hex(6)}"
    acting_for = {"act": {"sub": name}, "epochs": {AGENT: 1, name: 1}}
    own = {"sub": name, "client_id": name, "epochs": {name: 1}}
    jti = secrets.token_urlsafe(16)
    changed = acting_for if how.startswith("actor") else own
    lab.agents.register(name)
    token = lab.token(**changed, jti=jti, ancestors=["parent-of-" + jti])
    assert lab.send(lab.call(token)).status == 200, how
    match how:
        case "epoch" | "actor-epoch":
            lab.revocation.raise_epoch(name, 2)
        case "jti":
            lab.revocation.revoke(jti, expires=NOW + 300)
        case "ancestor":
            lab.revocation.revoke("parent-of-" + jti, expires=NOW + 300)
        case "expired":
            lab.agents.known[name].expires = NOW
        case "unknown":
            del lab.agents.known[name]
        case _:
            lab.agents.known[name].state = "quarantined" if how == "actor-state" else how
    return lab.call(token)


def pregenerated(lab: Lab, seconds: int, **claims: Json) -> Sent:
    moment, lab.clock.moment = lab.clock.moment, lab.clock.moment + seconds
    nonce = lab.nonces.current()
    lab.clock.moment = moment
    token = lab.token()
    return lab.call(token, lab.proof(token, nonce=nonce, **claims))


def tampered(made: str) -> str:
    """The same proof with another jti under the old signature."""
    head, body, signed = made.split(".")
    value = json.loads(_unb64(body))
    return f"{head}.{b64(compact({**value, 'jti': secrets.token_urlsafe(16)}))}.{signed}"


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
