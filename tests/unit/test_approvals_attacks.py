"""Attacks on approvals, as one table each: every one is refused, for the reason named."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.access.approvals.model import ApprovalFacts, ApprovalRequest, Verdict
from iamrange.access.approvals.signing import sign_decision
from iamrange.identity.directory.model import AgentKey, AgentState, Kind, agent_id
from iamrange.jose.sign import SigningKey
from tests.conformance.access.approvals_lab import (
    ADMINISTRATOR,
    AGENT,
    BODY,
    CLERK,
    COMMAND,
    DEPLOYMENT,
    JSON,
    MANAGER,
    NOW,
    OTHER,
    OWNER,
    OWNERS_AGENT,
    SECOND,
    TRANSFER,
    TRANSFERS,
    Lab,
    public,
    reason,
    sqlite,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(sqlite(tmp_path))
    yield made
    made.store.close()


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _claims(lab: Lab, request: ApprovalRequest) -> dict[str, Any]:
    signed = lab.signed(request).split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(signed + "=="))
    return found


def _unsigned(lab: Lab, request: ApprovalRequest, alg: str = "none") -> str:
    header = {"alg": alg, "typ": "approval+jwt", "kid": lab.folk.keys[MANAGER].kid}
    return f"{_part(header)}.{_part(_claims(lab, request))}."


def _hs256_with_public_key(lab: Lab, request: ApprovalRequest) -> str:
    key = lab.folk.keys[MANAGER]
    header = {"alg": "HS256", "typ": "approval+jwt", "kid": key.kid}
    text = f"{_part(header)}.{_part(_claims(lab, request))}"
    mac = hmac.digest(json.dumps(public(key)).encode(), text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _by_own_key(lab: Lab, request: ApprovalRequest, **header: str | None) -> str:
    own = SigningKey.generate()
    claims = _claims(lab, request)
    return own.sign(claims, typ="approval+jwt", header={"jwk": public(own), **header})


def _stranger_as_manager(lab: Lab, request: ApprovalRequest) -> str:
    header = {"kid": lab.folk.keys[MANAGER].kid}
    return SigningKey.generate().sign(_claims(lab, request), typ="approval+jwt", header=header)


def _flipped(lab: Lab, request: ApprovalRequest) -> str:
    head, _, signature = lab.signed(request, verdict=Verdict.DENY).split(".")
    return f"{head}.{_part(_claims(lab, request))}.{signature}"


def _access_token(lab: Lab, request: ApprovalRequest) -> str:
    claims = {
        "iss": "https://auth.iamrange.example",
        "sub": AGENT,
        "aud": "https://payments.iamrange.example",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "0123456789abcdef",
        "approval_id": request.id,
    }
    return lab.folk.keys[MANAGER].sign(claims, typ="at+jwt")


CONFUSED: dict[str, tuple[Any, str]] = {
    "no text at all": (lambda *_: "", "approval-signature"),
    "no token": (lambda *_: "approved", "approval-signature"),
    "alg none": (_unsigned, "approval-signature"),
    "alg None": (lambda lab, r: _unsigned(lab, r, "None"), "approval-signature"),
    "a signature cut off": (
        lambda lab, r: lab.signed(r).rpartition(".")[0] + ".",
        "approval-signature",
    ),
    "HS256 with the public key": (_hs256_with_public_key, "approval-signature"),
    "a key of its own embedded": (_by_own_key, "approval-signature"),
    "a key of its own by jku": (
        lambda lab, r: _by_own_key(lab, r, jwk=None, jku="https://evil.example/jwks"),
        "approval-signature",
    ),
    "an own key under the manager's kid": (_stranger_as_manager, "approval-signature"),
    "an unknown kid": (
        lambda lab, r: lab.signed(r, header={"kid": "nobody"}),
        "approver-key-not-current",
    ),
    "no kid": (lambda lab, r: lab.signed(r, header={"kid": ""}), "approval-signature"),
    "crit": (lambda lab, r: lab.signed(r, header={"crit": ["exp"]}), "approval-signature"),
    "b64 false": (lambda lab, r: lab.signed(r, header={"b64": False}), "approval-signature"),
    "typ JWT": (lambda lab, r: lab.signed(r, typ="JWT"), "approval-signature"),
    "typ of a view": (lambda lab, r: lab.signed(r, typ="approval-view+jwt"), "approval-signature"),
    "typ of an access token": (lambda lab, r: lab.signed(r, typ="at+jwt"), "approval-signature"),
    "typ of an agent's proof": (
        lambda lab, r: lab.signed(r, typ="agent-proof+jwt"),
        "approval-signature",
    ),
    "an access token": (_access_token, "approval-signature"),
    "claims changed after signing": (_flipped, "approval-signature"),
    "no decision": (lambda lab, r: lab.signed(r, decision=None), "approval-signature"),
    "another word": (lambda lab, r: lab.signed(r, decision="APPROVE"), "approval-signature"),
    "decision true": (lambda lab, r: lab.signed(r, decision=True), "approval-signature"),
    "no jti": (lambda lab, r: lab.signed(r, jti=None), "approval-signature"),
    "a short jti": (lambda lab, r: lab.signed(r, jti="1"), "approval-signature"),
    "a jti with a zero character": (
        lambda lab, r: lab.signed(r, jti="0123456789abcde\0"),
        "approval-signature",
    ),
    "no exp": (lambda lab, r: lab.signed(r, exp=None), "approval-signature"),
    "exp as text": (lambda lab, r: lab.signed(r, exp="9999999999"), "approval-signature"),
    "an extra claim": (lambda lab, r: lab.signed(r, manager_signed=True), "approval-signature"),
    "jti as a list": (lambda lab, r: lab.signed(r, jti=["a" * 16]), "approval-signature"),
    "for days": (lambda lab, r: lab.signed(r, exp=NOW + 86400), "approval-signature"),
    "over before it began": (lambda lab, r: lab.signed(r, exp=NOW - 1), "approval-expired"),
    "signed before the request": (
        lambda lab, r: lab.signed(r, iat=NOW - 1),
        "approval-signed-before-request",
    ),
    "signed in the future": (
        lambda lab, r: lab.signed(r, iat=NOW + 60),
        "approval-not-yet-valid",
    ),
    "for another approval": (
        lambda lab, r: lab.signed(r, approval_id="0" * 48),
        "approval-for-another-request",
    ),
    "over another digest": (
        lambda lab, r: lab.signed(r, request_digest="A" * 43),
        "approval-for-another-request",
    ),
    "of another request": (
        lambda lab, _: lab.signed(lab.asked(DEPLOYMENT)),
        "approval-for-another-request",
    ),
    "over another body": (
        lambda lab, r: lab.signed(replace(r, body_sha256="0" * 64)),
        "approval-for-another-request",
    ),
    "over a longer life": (
        lambda lab, r: lab.signed(replace(r, expires=r.expires + 60)),
        "approval-for-another-request",
    ),
}


@pytest.mark.parametrize("forge", CONFUSED.values(), ids=CONFUSED.keys())
def test_what_is_no_signature_on_this_request_decides_nothing(
    lab: Lab, forge: tuple[Any, str]
) -> None:
    make, expected = forge
    request = lab.asked()
    assert reason(lab.approvals.decide(request.id, make(lab, request))) == expected
    assert reason(lab.present(request)) == "approval-pending"
    assert not lab.approvals.consume(request.id, NOW)
    # and the same request by the same hand, done right
    assert reason(lab.approvals.decide(request.id, lab.signed(request))) is None


def _entry(lab: Lab, identifier: str, **fields: frozenset[str]) -> str:
    lab.folk.add(identifier, **{"owner": "x@example.com", **fields})
    return identifier


MANAGERS = frozenset({"manager"})
WRONG_APPROVERS: dict[str, tuple[Any, str]] = {
    "the requester": (lambda _: AGENT, "approval-self"),
    "the requester with the role": (
        lambda lab: lab.folk.change(AGENT, roles=MANAGERS) or AGENT,
        "approval-self",
    ),
    "the owner": (lambda _: OWNER, "approval-by-owner"),
    "another agent of the owner": (lambda _: OWNERS_AGENT, "approval-by-owned-agent"),
    "an agent with the role": (
        lambda lab: lab.folk.change(OTHER, roles=MANAGERS) or OTHER,
        "approver-not-a-person",
    ),
    "an agent that owns the agent": (
        lambda lab: lab.folk.change(AGENT, owner=OTHER) or OTHER,
        "approval-by-owned-agent",
    ),
    "an agent named like a person": (
        lambda lab: _entry(lab, agent_id("maria"), roles=MANAGERS),
        "approver-not-a-person",
    ),
    "a person without the role": (lambda _: CLERK, "approver-not-manager"),
    "a person with a role like it": (
        lambda lab: _entry(lab, agent_id("m1", kind=Kind.PERSON), roles=frozenset({"managers"})),
        "approver-not-manager",
    ),
    "an administrator, for money": (lambda _: ADMINISTRATOR, "approver-not-manager"),
    "a manager of another tenant": (
        lambda lab: _entry(lab, agent_id("maria", "acme", Kind.PERSON), roles=MANAGERS),
        "approver-of-another-tenant",
    ),
    "a manager who is registered only": (
        lambda lab: lab.folk.change(MANAGER, state=AgentState.REGISTERED) or MANAGER,
        "approver-not-active",
    ),
    "a quarantined manager": (
        lambda lab: lab.folk.change(MANAGER, state=AgentState.QUARANTINED) or MANAGER,
        "approver-not-active",
    ),
    "a retired manager": (
        lambda lab: lab.folk.change(MANAGER, state=AgentState.RETIRED, keys=()) or MANAGER,
        "approver-not-active",
    ),
    "a manager whose time is up": (
        lambda lab: lab.folk.change(MANAGER, expires=float(NOW)) or MANAGER,
        "approver-expired",
    ),
    "nobody known": (
        lambda lab: lab.folk.entries.pop(MANAGER) and MANAGER,
        "approver-unknown",
    ),
}


@pytest.mark.parametrize("case", WRONG_APPROVERS.values(), ids=WRONG_APPROVERS.keys())
def test_who_must_not_approve_does_not(lab: Lab, case: tuple[Any, str]) -> None:
    choose, expected = case
    request = lab.asked()
    approver = choose(lab)
    assert reason(lab.approvals.decide(request.id, lab.signed(request, approver))) == expected
    assert reason(lab.present(request)) == "approval-pending"
    record = lab.records[-1]
    assert (record.point, record.reason, record.outcome) == ("approvals.decide", expected, "deny")


@pytest.mark.parametrize("case", WRONG_APPROVERS.values(), ids=WRONG_APPROVERS.keys())
def test_who_must_not_approve_any_more_has_not_approved(lab: Lab, case: tuple[Any, str]) -> None:
    """The store is made to hold a signature that was never taken: the row makes no approval."""
    choose, expected = case
    honest = lab.approved()
    approver = choose(lab)
    signed = lab.signed(honest, approver)
    assert honest.decision is not None
    decision = replace(honest.decision, jws=signed, approver=approver, jti="f" * 16)
    forged = replace(honest, decision=decision)

    class Forged:
        def get(self, _: str) -> ApprovalRequest:
            return forged

    lab.approvals._store = Forged()  # type: ignore[assignment]  # noqa: SLF001 - the attack
    assert reason(lab.present(honest)) == expected


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "another agent": ({"agent_id": OTHER}, "approval-for-another-agent"),
    "the owner's other agent": ({"agent_id": OWNERS_AGENT}, "approval-for-another-agent"),
    "another method": ({"method": "PUT"}, "approval-for-another-request"),
    "the method in another case": ({"method": "post"}, "approval-for-another-request"),
    "another path": ({"url": TRANSFERS + "/all"}, "approval-for-another-request"),
    "another service": (
        {"url": TRANSFERS.replace("payments", "hr")},
        "approval-for-another-request",
    ),
    "a query added": ({"url": TRANSFERS + "?dry_run=false"}, "approval-for-another-request"),
    "an empty query added": ({"url": TRANSFERS + "?"}, "approval-for-another-request"),
    "the path in another case": (
        {"url": TRANSFERS.replace("transfers", "Transfers")},
        "approval-for-another-request",
    ),
    "the same path encoded": (
        {"url": TRANSFERS.replace("t", "%74", 1)},
        "approval-for-another-request",
    ),
    "another scheme": (
        {"url": TRANSFERS.replace("https", "http")},
        "approval-for-another-request",
    ),
    "another amount": (
        {"body_sha256": hashlib.sha256(BODY.replace(b"100", b"900")).hexdigest()},
        "approval-for-another-request",
    ),
    "a space more in the body": (
        {"body_sha256": hashlib.sha256(BODY + b" ").hexdigest()},
        "approval-for-another-request",
    ),
    "no body": ({"body_sha256": hashlib.sha256(b"").hexdigest()}, "approval-for-another-request"),
    "the hash in capitals": ({"body_sha256": "UPPER"}, "approval-for-another-request"),
    "another content type": (
        {"content_type": "application/x-www-form-urlencoded"},
        "approval-for-another-request",
    ),
    "another charset": (
        {"content_type": f"{JSON}; charset=utf-16"},
        "approval-for-another-request",
    ),
    "no content type": ({"content_type": ""}, "approval-for-another-request"),
    "no id": ({"approval_id": ""}, "approval-unknown"),
    "a guessed id": ({"approval_id": "0" * 48}, "approval-unknown"),
    "an id with a zero character": ({"approval_id": "a\0b"}, "approval-unknown"),
    "a long id": ({"approval_id": "a" * 10_000}, "approval-unknown"),
    "an id of SQL": ({"approval_id": "' OR 1=1 --"}, "approval-unknown"),
    "an id with a wildcard": ({"approval_id": "%"}, "approval-unknown"),
    "too late": ({"now": NOW + 900}, "approval-expired"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_approval_is_for_this_call_of_this_agent_alone(
    lab: Lab, change: tuple[dict[str, Any], str]
) -> None:
    other, expected = change
    request = lab.approved()
    if "body_sha256" in other and other["body_sha256"] == "UPPER":
        other = {"body_sha256": request.body_sha256.upper()}
    assert reason(lab.present(request, **other)) == expected
    if "now" not in other:
        facts = lab.present(request, content_type="Application/JSON")
        assert isinstance(facts, ApprovalFacts)
        assert (facts.approver, facts.manager_signed, facts.agent) == (MANAGER, True, AGENT)


LEAVING: dict[str, tuple[Any, str]] = {
    "was fired": (
        lambda lab: lab.folk.change(MANAGER, state=AgentState.RETIRED, keys=()),
        "approver-not-active",
    ),
    "was suspended": (
        lambda lab: lab.folk.change(MANAGER, state=AgentState.QUARANTINED),
        "approver-not-active",
    ),
    "came to an end": (
        lambda lab: lab.folk.change(MANAGER, expires=float(NOW)),
        "approver-expired",
    ),
    "lost the role": (
        lambda lab: lab.folk.change(MANAGER, roles=frozenset({"clerk"})),
        "approver-not-manager",
    ),
    "became an administrator instead": (
        lambda lab: lab.folk.change(MANAGER, roles=frozenset({"administrator"})),
        "approver-not-manager",
    ),
    "became the agent's owner": (
        lambda lab: lab.folk.change(AGENT, owner="maria@example.com"),
        "approval-by-owner",
    ),
    "rotated the key": (
        lambda lab: lab.folk.change(
            MANAGER,
            keys=(
                AgentKey.from_jwk(public(SigningKey.generate())),
                lab.folk.entries[MANAGER].keys[0].until(NOW + 3600),
            ),
        ),
        "approver-key-not-current",
    ),
    "had the key withdrawn": (
        lambda lab: lab.folk.change(MANAGER, keys=()),
        "approver-key-not-current",
    ),
    "was removed": (lambda lab: lab.folk.entries.pop(MANAGER), "approver-unknown"),
    "and the agent was suspended": (
        lambda lab: lab.folk.change(AGENT, state=AgentState.QUARANTINED),
        "agent-not-active",
    ),
}


@pytest.mark.parametrize("case", LEAVING.values(), ids=LEAVING.keys())
def test_an_approval_dies_when_in_between_its_approver(lab: Lab, case: tuple[Any, str]) -> None:
    leave, expected = case
    request = lab.approved()
    assert isinstance(lab.present(request), ApprovalFacts)
    leave(lab)
    assert reason(lab.present(request)) == expected


def test_an_approval_is_used_once_and_replays_are_told_apart(lab: Lab) -> None:
    request = lab.asked()
    signed = lab.signed(request)
    assert reason(lab.approvals.decide(request.id, signed)) is None
    assert reason(lab.approvals.decide(request.id, signed)) == "approval-replayed"
    again = lab.signed(request, SECOND)
    assert reason(lab.approvals.decide(request.id, again)) == "approval-decided"
    assert lab.approvals.consume(request.id, NOW)
    assert not lab.approvals.consume(request.id, NOW)
    assert reason(lab.present(request)) == "approval-used"
    assert reason(lab.approvals.decide(request.id, signed)) == "approval-replayed"
    assert reason(lab.approvals.decide(request.id, lab.signed(request))) == "approval-used"
    # the same call asked for again is a request of its own
    assert lab.asked().id != request.id


def test_a_signature_is_not_good_for_the_next_request_of_the_same_call(lab: Lab) -> None:
    first = lab.approved()
    assert lab.approvals.consume(first.id, NOW)
    second = lab.asked()
    assert first.decision is not None
    replayed = lab.approvals.decide(second.id, first.decision.jws)
    assert reason(replayed) == "approval-for-another-request"


def test_a_jti_counts_once_for_its_signer_whatever_it_signs(lab: Lab) -> None:
    first, second = lab.asked(), lab.asked(DEPLOYMENT)
    assert reason(lab.approvals.decide(first.id, lab.signed(first, jti="a" * 16))) is None
    replayed = lab.approvals.decide(second.id, lab.signed(second, jti="a" * 16))
    assert reason(replayed) == "approval-replayed"


def test_only_an_administrator_approves_execution(lab: Lab) -> None:
    request = lab.asked(COMMAND)
    refused = lab.approvals.decide(request.id, lab.signed(request, MANAGER))
    assert reason(refused) == "approver-not-manager"
    assert reason(lab.approvals.decide(request.id, lab.signed(request, ADMINISTRATOR))) is None
    facts = lab.present(request)
    assert isinstance(facts, ApprovalFacts)
    assert not facts.manager_signed  # signed by an administrator, who is no manager


ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "agent": ({"agent": OTHER}, "approval-for-another-request"),
    "url": ({"url": TRANSFERS + "?x=1"}, "approval-for-another-request"),
    "method": ({"method": "PUT"}, "approval-for-another-request"),
    "body": ({"body_sha256": "0" * 64}, "approval-for-another-request"),
    "action": ({"action": "read"}, "approval-for-another-request"),
    "roles": ({"roles": frozenset({"clerk"})}, "approval-for-another-request"),
    "expires": ({"expires": NOW + 9999}, "approval-for-another-request"),
    "no signature": ({"decision": None}, "approval-signature"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_whoever_writes_to_the_database_makes_no_approval(
    lab: Lab, row: tuple[dict[str, Any], str]
) -> None:
    changed, expected = row
    forged = replace(lab.approved(), **changed)

    class Forged:
        def get(self, _: str) -> ApprovalRequest:
            return forged

    lab.approvals._store = Forged()  # type: ignore[assignment]  # noqa: SLF001 - the attack
    assert reason(lab.present(forged)) == expected


def test_a_denial_written_as_an_approval_is_none(lab: Lab) -> None:
    request = lab.asked()
    denied = lab.approvals.decide(request.id, lab.signed(request, verdict=Verdict.DENY))
    assert isinstance(denied, ApprovalRequest)
    approved = replace(denied, state=lab.approved(DEPLOYMENT).state)

    class Forged:
        def get(self, _: str) -> ApprovalRequest:
            return approved

    lab.approvals._store = Forged()  # type: ignore[assignment]  # noqa: SLF001 - the attack
    assert reason(lab.present(request)) == "approval-denied"


def test_ids_are_long_and_random(lab: Lab) -> None:
    ids = {lab.asked(replace(TRANSFER, body=f"[{n}]".encode())).id for n in range(3)}
    assert len(ids) == 3
    assert all(len(each) == 48 and int(each, 16) >= 0 for each in ids)


def test_a_signature_by_the_library_is_what_the_judge_takes(lab: Lab) -> None:
    request = lab.asked()
    key = lab.folk.keys[MANAGER]
    signed = sign_decision(
        key, request, verdict=Verdict.APPROVE, approver=MANAGER, now=lab.clock.now()
    )
    assert reason(lab.approvals.decide(request.id, signed)) is None


def test_nothing_secret_is_in_records_events_and_reprs(lab: Lab) -> None:
    request = lab.approved()
    lab.approvals.consume(request.id, NOW)
    assert request.decision is not None
    told = f"{lab.records!r}{lab.events!r}{request!r}{TRANSFER!r}"
    assert request.decision.jws not in told
    assert BODY.decode() not in told
    assert [event.action for event in lab.events] == ["asked", "approved", "used"]
