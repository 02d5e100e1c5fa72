"""The guard's edges, without a socket: what breaks refuses, and tells nothing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.identity.challenges import metadata_url
from iamrange.identity.protected_http import TokenGuard, admitted, metadata
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from tests.conformance.protected_lab import NOW, RESOURCE, SCOPES, Lab

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from iamrange.core.decision import LayerAnswer, Tamper


class App:
    """Notes what reaches it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            self.bodies.append((await receive()).get("body", b""))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})


def run(
    lab: Lab,
    app: App,
    headers: list[tuple[str, str]],
    *,
    body: list[bytes] | None = None,
    **changed: Any,  # noqa: ANN401 - members of a scope
) -> list[Message]:
    guard = TokenGuard(app, lab.verifier, scopes={SCOPES}, in_threads=False)
    sent: list[Message] = []
    unread = [b""] if body is None else list(body)

    async def receive() -> Message:
        part = unread.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(unread)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/records",
        "raw_path": b"/records",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        **changed,
    }
    asyncio.run(guard(scope, receive, send))
    return sent


def make_lab(tamper: Tamper | None = None) -> Lab:
    stores = MemoryReplay(), MemoryRevocation(now=lambda: NOW)
    return Lab(*stores, tamper=tamper) if tamper else Lab(*stores)


def good(lab: Lab, **claims: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - JSON
    token = lab.token()
    return [("Authorization", f"DPoP {token}"), ("DPoP", lab.proof(token, **claims))]


def headers_of(sent: list[Message]) -> dict[bytes, bytes]:
    return dict(sent[0]["headers"])


def test_what_is_admitted_reaches_the_app_with_its_token() -> None:
    lab, app = make_lab(), App()
    sent = run(lab, app, good(lab))
    assert sent[0]["status"] == 204
    assert headers_of(sent)[b"dpop-nonce"].decode() == lab.nonces.current()
    (scope,) = app.scopes
    assert admitted(scope).token.scopes == {SCOPES}


def test_a_verifier_that_breaks_refuses_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    secrets: list[str] = []

    def breaks(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        raise RuntimeError(f"{point} {layers} {secrets}")

    lab, app = make_lab(breaks), App()
    headers = good(lab)
    secrets += [value for _, value in headers]
    sent = run(lab, app, headers)
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["error"] == "temporarily_unavailable"
    assert app.scopes == []
    assert "RuntimeError" in caplog.text
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in repr(sent)


def test_a_form_beyond_the_limit_is_refused_before_it_is_read_whole() -> None:
    lab, app = make_lab(), App()
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    sent = run(lab, app, good(lab) + form, body=[b"a" * 40_000] * 5)
    assert sent[0]["status"] == 413
    assert b"dpop-nonce" in headers_of(sent)
    assert app.scopes == []


def test_a_form_in_pieces_is_searched_and_handed_on_whole() -> None:
    lab, app = make_lab(), App()
    form = [("Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")]
    sent = run(lab, app, good(lab) + form, body=[b"a=1&acc", b"ess_token=x"])
    assert sent[0]["status"] == 400
    sent = run(lab, app, good(lab) + form, body=[b"a=1&", b"b=2"])
    assert sent[0]["status"] == 204
    assert app.bodies == [b"a=1&b=2"]


def test_another_body_is_not_read_by_the_guard() -> None:
    lab, app = make_lab(), App()
    run(lab, app, [*good(lab), ("Content-Type", "application/json")], body=[b"access_token=x"])
    assert app.bodies == [b"access_token=x"]


def test_a_websocket_is_closed_and_a_lifespan_passes() -> None:
    lab, app = make_lab(), App()
    assert run(lab, app, [], type="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert app.scopes == []
    run(lab, app, [], type="lifespan")
    assert [scope["type"] for scope in app.scopes] == ["lifespan"]


@pytest.mark.parametrize(
    ("changed", "htu"),
    [
        ({"raw_path": b"/a%2Fb", "path": "/a/b"}, f"{RESOURCE}/a%2Fb"),
        ({"raw_path": None, "path": "/a b"}, f"{RESOURCE}/a%20b"),
        ({"raw_path": b"/x?y=1", "path": "/x"}, f"{RESOURCE}/x"),
        ({"server": ("evil.example", 80), "scheme": "http"}, f"{RESOURCE}/records"),
    ],
)
def test_a_proof_names_the_path_as_it_came_under_our_own_origin(
    changed: dict[str, Any], htu: str
) -> None:
    lab, app = make_lab(), App()
    headers = [*good(lab, htu=htu), ("Host", "evil.example"), ("X-Forwarded-Host", "evil.example")]
    assert run(lab, app, headers, **changed)[0]["status"] == 204


def test_a_certificate_in_a_header_is_none() -> None:
    lab, app = make_lab(), App()
    token = lab.token(cnf={"x5t#S256": lab.certificate_thumbprint})
    headers = [("Authorization", f"Bearer {token}"), ("X-Forwarded-Client-Cert", "Cert=x")]
    assert run(lab, app, headers)[0]["status"] == 401
    assert lab.records[-1].reason == "missing-certificate"
    extensions = {"iamrange.client_certificate": (lab.certificate, b"issuer")}
    assert run(lab, app, headers, extensions=extensions)[0]["status"] == 204


def test_metadata_is_at_the_resources_own_place() -> None:
    assert metadata_url(RESOURCE) == f"{RESOURCE}/.well-known/oauth-protected-resource"
    nested = "https://api.example/v1/logs/"
    assert (
        metadata_url(nested) == "https://api.example/.well-known/oauth-protected-resource/v1/logs"
    )
    document = metadata(RESOURCE, scopes={"b", "a"})
    assert document["scopes_supported"] == ["a", "b"]
    assert document["bearer_methods_supported"] == ["header"]
