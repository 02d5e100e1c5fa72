"""The approvals' API over HTTP: agents ask and poll, people read and decide."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from iamrange.access.approvals.model import ApprovalRequest, Verdict
from iamrange.access.approvals.signing import VIEW_TYPE
from iamrange.identity.directory.model import AgentState
from iamrange.identity.protected_http import request_guard
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from tests.conformance import protected_lab
from tests.conformance.access.approvals_lab import (
    AGENT,
    BODY,
    CLERK,
    DEPLOYMENT,
    JSON,
    MANAGER,
    NOW,
    OTHER,
    TRANSFER,
    TRANSFERS,
    Lab,
    sqlite,
)
from tests.conformance.access.approvals_site import AS, Host, Site, hosting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKED = {"method": "POST", "url": TRANSFERS, "content_type": JSON, "body": BODY.decode()}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(sqlite(tmp_path, busy=0.2))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with hosting() as running:
        yield running


@pytest.fixture
def site(host: Host, lab: Lab) -> Site:
    return host.site(lab)


def ask(site: Site, agent: str = AGENT, **changed: Any) -> requests.Response:  # noqa: ANN401 - JSON
    document = {n: v for n, v in {**ASKED, **changed}.items() if v is not None}
    return requests.post(f"{site.url}/requests", json=document, headers={AS: agent}, timeout=20)


def poll(site: Site, approval_id: str, agent: str = AGENT) -> requests.Response:
    return site.get(f"/requests/{approval_id}", **{AS: agent})


def decide(site: Site, approval_id: str, signed: str, **headers: str) -> requests.Response:
    url = f"{site.url}/requests/{approval_id}/decision"
    return requests.post(url, json={"decision": signed}, headers=headers, timeout=20)


def pending(site: Site, *authorization: str) -> requests.Response:
    return site.get("/pending", **dict.fromkeys(("Authorization",), ", ".join(authorization)))


def test_an_agent_asks_polls_and_has_its_approval(site: Site) -> None:
    asked = ask(site)
    assert asked.status_code == 200, asked.text
    assert asked.headers["Cache-Control"] == "no-store"
    document = asked.json()
    approval_id = document["approval_id"]
    assert (document["state"], document["expires_in"], document["interval"]) == ("pending", 900, 5)
    assert document["review"] == f"{site.url}/review/{approval_id}"

    waiting = poll(site, approval_id)
    assert (waiting.status_code, waiting.json()["error"]) == (400, "authorization_pending")
    assert waiting.headers["Retry-After"] == "5"
    hurried = poll(site, approval_id)
    assert (hurried.status_code, hurried.json()["error"]) == (400, "slow_down")
    assert hurried.json()["interval"] == 10

    request = site.lab.approvals.get(approval_id)
    assert request is not None
    decided = decide(site, approval_id, site.lab.signed(request))
    assert (decided.status_code, decided.json()["state"]) == (200, "approved")
    site.lab.clock.moment += 10
    approved = poll(site, approval_id)
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert site.lab.approvals.consume(approval_id, site.lab.clock.now())
    used = poll(site, approval_id).json()
    assert (used["error"], used["reason"]) == ("invalid_grant", "approval-used")


def test_a_denied_and_an_expired_request_are_told_as_ciba_tells_them(site: Site) -> None:
    first = site.lab.asked()
    denied = decide(site, first.id, site.lab.signed(first, verdict=Verdict.DENY))
    assert denied.json()["state"] == "denied"
    answer = poll(site, first.id)
    assert (answer.status_code, answer.json()["error"]) == (400, "access_denied")
    second = site.lab.asked(DEPLOYMENT)
    site.lab.clock.moment += 900
    answer = poll(site, second.id)
    assert (answer.status_code, answer.json()["error"]) == (400, "expired_token")


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"method": None}, 400, "malformed"),
        ({"url": None}, 400, "malformed"),
        ({"action": "read"}, 400, "malformed"),
        ({"summary": "harmless"}, 400, "malformed"),
        ({"manager_signed": "true"}, 400, "malformed"),
        ({"body_base64": "QQ=="}, 400, "malformed"),
        ({"body": None, "body_base64": "?"}, 400, "malformed"),
        ({"url": "https://evil.example/transfers"}, 400, "no-route"),
        ({"url": f"{TRANSFERS}/../transfers"}, 400, "malformed"),
        ({"method": "GET", "url": TRANSFERS.replace("transfers", "records/1")}, 400, None),
        ({"body": "x" * (64 * 1024 + 1)}, 413, "body-too-large"),
        ({"body": "x" * (1024 * 1024)}, 413, "body-too-large"),
        ({"url": f"{TRANSFERS}?{'x' * 7000}"}, 400, "malformed"),
    ],
    ids=str,
)
def test_what_is_no_request_is_refused(
    site: Site, changed: dict[str, Any], status: int, reason: str | None
) -> None:
    answer = ask(site, **changed)
    assert answer.status_code == status
    assert answer.json()["error"] == (reason or "approval-not-needed")
    assert site.lab.approvals.pending() == ()


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"[]", {}),
        (b"null", {}),
        (b'{"method":"POST","method":"GET","url":"https://x"}', {}),
        (b'{"method":1,"url":"https://x"}', {}),
        (b"\xff\xfe", {}),
        (json.dumps(ASKED).encode(), {"Content-Type": "text/plain"}),
        (json.dumps(ASKED).encode(), {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_what_is_no_json_object_of_ours_is_refused(
    site: Site, content: bytes, headers: dict[str, str]
) -> None:
    sent = {AS: AGENT, "Content-Type": JSON, **headers}
    answer = requests.post(f"{site.url}/requests", data=content, headers=sent, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed")


def test_text_and_base64_of_the_same_bytes_are_the_same_request(site: Site) -> None:
    text = ask(site).json()
    encoded = ask(site, body=None, body_base64=base64.b64encode(BODY).decode()).json()
    assert text["approval_id"] == encoded["approval_id"]
    assert text["body_sha256"] == encoded["body_sha256"]


def test_a_flood_is_stopped_with_the_time_to_wait(site: Site) -> None:
    answers = [ask(site, body=f'{{"n":{number}}}') for number in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 15
    assert {answer.json()["error"] for answer in answers[5:]} == {"too-many-prompts"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers[5:])
    assert ask(site, OTHER).status_code == 200


@pytest.mark.parametrize("path", ["/requests/{}", "/requests/x"])
def test_without_a_token_an_agent_learns_nothing(site: Site, path: str) -> None:
    request = site.lab.asked()
    assert site.get(path.format(request.id)).status_code == 401
    assert requests.post(f"{site.url}/requests", json=ASKED, timeout=20).status_code == 401


@pytest.mark.parametrize("agent", [OTHER, MANAGER])
def test_another_agents_request_is_as_unknown_as_one_that_never_was(site: Site, agent: str) -> None:
    request = site.lab.asked()
    theirs, nobodys = poll(site, request.id, agent), poll(site, "0" * 48, agent)
    for answer in (theirs, nobodys):
        assert (answer.status_code, answer.json()["error"]) == (404, "approval-unknown")
        assert answer.json().keys() == theirs.json().keys()


# --- people -------------------------------------------------------------------------------------


def test_a_person_signs_for_the_list_and_each_look_counts_once(site: Site) -> None:
    request = site.lab.asked()
    view = f"Person {site.view(MANAGER)}"
    answer = pending(site, view)
    assert answer.status_code == 200, answer.text
    (shown,) = answer.json()["requests"]
    assert ApprovalRequest.from_json(shown) == request
    assert answer.json()["now"] == NOW
    again = pending(site, view)
    assert (again.status_code, again.json()["error"]) == (409, "approval-replayed")


def _signed(site: Site, signer: str = MANAGER, typ: str = VIEW_TYPE, **changed: Any) -> str:  # noqa: ANN401 - JSON
    claims = {
        "viewer": MANAGER,
        "htm": "GET",
        "htu": f"{site.url}/pending",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "0123456789abcdef",
        **changed,
    }
    return site.lab.folk.keys[signer].sign(claims, typ=typ)


def _retired(site: Site) -> str:
    site.lab.folk.change(MANAGER, state=AgentState.RETIRED)
    return _signed(site)


def _rotated(site: Site) -> str:
    (key,) = site.lab.folk.entries[MANAGER].keys
    site.lab.folk.change(MANAGER, keys=(key.until(NOW + 3600),))
    return _signed(site)


LOOKS: dict[str, tuple[Any, str]] = {
    "no signature": (lambda _: "", "approval-signature"),
    "an agent's": (lambda site: _signed(site, AGENT, viewer=AGENT), "approver-not-a-person"),
    "a clerk's": (lambda site: _signed(site, CLERK, viewer=CLERK), "approver-not-manager"),
    "a clerk's, in another's name": (lambda site: _signed(site, CLERK), "approver-key-not-current"),
    "nobody's": (
        lambda site: _signed(site, viewer=f"{MANAGER}x"),
        "approver-unknown",
    ),
    "for another address": (
        lambda site: _signed(site, htu=f"{site.url}/other"),
        "approval-for-another-request",
    ),
    "for another site": (
        lambda site: _signed(site, htu="https://evil.example/pending"),
        "approval-for-another-request",
    ),
    "for another method": (
        lambda site: _signed(site, htm="POST"),
        "approval-for-another-request",
    ),
    "of an hour ago": (
        lambda site: _signed(site, iat=NOW - 3600, exp=NOW - 3540),
        "approval-signature",
    ),
    "for an hour": (lambda site: _signed(site, exp=NOW + 3600), "approval-signature"),
    "for approving": (lambda site: _signed(site, typ="approval+jwt"), "approval-signature"),
    "an approval": (
        lambda site: site.lab.signed(site.lab.asked()),
        "approval-signature",
    ),
    "a retired person's": (_retired, "approver-not-active"),
    "by a key rotated out": (_rotated, "approver-key-not-current"),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_nobody_else_sees_what_waits(site: Site, look: tuple[Any, str]) -> None:
    make, expected = look
    request = site.lab.asked()
    answer = pending(site, f"Person {make(site)}")
    assert answer.status_code in {403, 404}
    assert answer.json()["error"] == expected
    assert request.id not in answer.text


def test_a_view_approves_nothing(site: Site) -> None:
    request = site.lab.asked()
    answer = decide(site, request.id, site.view(MANAGER))
    assert (answer.status_code, answer.json()["error"]) == (403, "approval-signature")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
    ids=str,
)
def test_another_site_makes_no_browser_decide(
    site: Site, headers: dict[str, str], status: int
) -> None:
    request = site.lab.asked()
    answer = decide(site, request.id, site.lab.signed(request), **headers)
    assert answer.status_code == status
    approved = site.lab.approvals.get(request.id)
    assert approved is not None
    assert approved.state.value == ("approved" if status == 200 else "pending")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"decision":1}',
        b'{"decision":"x","x":"y"}',
        b'{"decision":"a","decision":"b"}',
    ],
)
def test_what_is_no_decision_decides_nothing(site: Site, content: bytes) -> None:
    request = site.lab.asked()
    url = f"{site.url}/requests/{request.id}/decision"
    answer = requests.post(url, data=content, headers={"Content-Type": JSON}, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed")


def test_a_form_of_another_site_is_no_decision(site: Site) -> None:
    request = site.lab.asked()
    url = f"{site.url}/requests/{request.id}/decision"
    text = json.dumps({"decision": site.lab.signed(request)})
    answer = requests.post(url, data=text, headers={"Content-Type": "text/plain"}, timeout=20)
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/", "/review/{}", "/review/unknown", "/static/page.js"])
def test_every_page_refuses_frames_foreign_scripts_and_caches(site: Site, path: str) -> None:
    request = site.lab.asked()
    answer = site.get(path.format(request.id))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/static/../api.py", "/static/%2e%2e%2fapi.py", "/static/x"])
def test_no_other_file_is_served(site: Site, path: str) -> None:
    session = requests.Session()
    sent = requests.Request("GET", f"{site.url}/").prepare()
    sent.url = f"{site.url}{path}"
    assert session.send(sent, timeout=20).status_code == 404


def test_the_list_of_ids_is_on_no_page(site: Site) -> None:
    request = site.lab.asked()
    for path in ("/", "/pending", "/requests", "/review", "/now"):
        assert request.id not in site.get(path).text


# --- faults -------------------------------------------------------------------------------------


def test_while_the_directory_is_away_the_answer_is_503_and_then_it_goes_on(site: Site) -> None:
    request = site.lab.asked()
    signed = site.lab.signed(request)
    site.lab.folk.away = True
    for answer in (
        ask(site, body="{}"),
        decide(site, request.id, signed),
        pending(site, f"Person {site.view(MANAGER)}"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    site.lab.folk.away = False
    assert decide(site, request.id, signed).status_code == 200


def test_while_the_store_is_away_every_answer_is_503(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "approvals.db"
    file.mkdir()
    site = host.site(Lab(sqlite(tmp_path)))
    for answer in (
        ask(site),
        poll(site, "0" * 48),
        decide(site, "0" * 48, "x"),
        site.get(f"/review/{'0' * 48}/request"),
        site.get(f"/review/{'0' * 48}"),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    file.rmdir()
    assert ask(site).status_code == 200
    site.lab.store.close()


def test_behind_the_real_guard_only_a_bound_token_with_the_scope_asks(host: Host, lab: Lab) -> None:
    tokens = protected_lab.Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))
    lab.folk.add(protected_lab.AGENT, owner="olga@example.com")
    good = tokens.token(scope="ask:approvals")
    url = f"{protected_lab.RESOURCE}/requests"
    site = host.site(lab, request_guard(tokens.verifier), protected_lab.RESOURCE)

    def send(token: str, htu: str = url) -> requests.Response:
        made = tokens.proof(token, htm="POST", htu=htu)
        headers = {"Authorization": f"DPoP {token}", "DPoP": made}
        return requests.post(f"{site.url}/requests", json=ASKED, headers=headers, timeout=20)

    assert send(tokens.token()).status_code == 403
    assert send(good, f"{protected_lab.RESOURCE}/other").status_code == 401
    assert send(tokens.token(scope="ask:approvals", aud="https://x.example")).status_code == 401
    answer = send(good)
    assert answer.status_code == 200, answer.text
    (request,) = lab.approvals.pending()
    assert request.agent == protected_lab.AGENT
    metadata = site.get("/.well-known/oauth-protected-resource").json()
    assert metadata["scopes_supported"] == ["ask:approvals"]


def test_a_hostile_method_and_url_come_back_in_no_answer(site: Site) -> None:
    answer = ask(site, method="<b>", url="https://payments.iamrange.example/<script>")
    assert answer.status_code == 400
    assert "<" not in answer.text


def test_requests_are_for_whoever_knows_the_id(site: Site) -> None:
    request = site.lab.asked(replace(TRANSFER, body=b'{"a":"<b>"}'))
    answer = site.get(f"/review/{request.id}/request")
    assert ApprovalRequest.from_json(answer.json()["request"]).digest() == request.digest()
    assert site.get("/review/unknown/request").status_code == 404
