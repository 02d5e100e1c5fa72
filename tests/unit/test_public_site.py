"""A host of the attacker's own: what is published there is shown, within limits."""

from __future__ import annotations

import asyncio

import httpx

from iamrange.network.public_site import PublicSite

DISCOVERY = "/.well-known/openid-configuration"


def _client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=PublicSite())
    return httpx.AsyncClient(transport=transport, base_url="https://idp.attacker.example")


def test_what_is_published_is_shown_to_everybody() -> None:
    async def run() -> list[int | bytes]:
        async with _client() as client:
            before = await client.get(DISCOVERY)
            put = await client.put(DISCOVERY, content=b"{}")
            after = await client.get(DISCOVERY)
            return [before.status_code, put.status_code, after.status_code, after.content]

    assert asyncio.run(run()) == [404, 204, 200, b"{}"]


def test_site_keeps_no_more_than_it_has_room_for() -> None:
    async def run() -> list[int]:
        async with _client() as client:
            longest = await client.put("/long", content=b"x" * ((1 << 16) + 1))
            kept = {(await client.put(f"/{n}", content=b"x")).status_code for n in range(100)}
            one_more = await client.put("/one-more", content=b"x")
            again = await client.put("/7", content=b"y")
            return [longest.status_code, *kept, one_more.status_code, again.status_code]

    assert asyncio.run(run()) == [413, 204, 507, 204]
