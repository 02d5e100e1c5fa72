"""A host of the attacker's own: what is published there is shown, within limits."""

from __future__ import annotations

import asyncio
from typing import Any

from iamrange.network.public_site import PublicSite

DISCOVERY = "/.well-known/openid-configuration"


def _call(site: PublicSite, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 - any ASGI message
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "scheme": "https",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"idp.attacker.example")],
        "server": ("idp.attacker.example", 443),
    }
    asyncio.run(site(scope, receive, send))
    return sent[0]["status"], sent[1].get("body", b"")


def test_what_is_published_is_shown_to_everybody() -> None:
    site = PublicSite()
    assert _call(site, "GET", DISCOVERY)[0] == 404
    assert _call(site, "PUT", DISCOVERY, b"{}")[0] == 204
    assert _call(site, "GET", DISCOVERY) == (200, b"{}")


def test_site_keeps_no_more_than_it_has_room_for() -> None:
    site = PublicSite()
    assert _call(site, "PUT", "/long", b"x" * ((1 << 16) + 1))[0] == 413
    assert {_call(site, "PUT", f"/{number}", b"x")[0] for number in range(100)} == {204}
    assert _call(site, "PUT", "/one-more", b"x")[0] == 507
    assert _call(site, "PUT", "/7", b"y")[0] == 204
