"""How issuers' documents are fetched: over loopback, within limits, and with what certificate."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.clouds.fetch import MAX_BODY, Fetched, FetchError, HttpFetcher
from iamrange.network.ca import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST = "idp.agents.example"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PUBLIC = CertificateAuthority.create("public")
PRIVATE = CertificateAuthority.create("private")


@asynccontextmanager
async def server(
    answer: bytes, context: ssl.SSLContext | None = None, *, stalls: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve one canned answer; yield the base URL and the requests seen."""
    seen: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        if stalls:
            await reader.read()
        writer.close()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    listening = await asyncio.start_server(quietly, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}", seen
    finally:
        listening.close()
        for writer in writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


def fetch(
    answer: bytes,
    *,
    authority: CertificateAuthority | None = None,
    context: ssl.SSLContext | None = None,
    url: str = f"https://{HOST}/keys",
    **settings: Any,  # noqa: ANN401 - HttpFetcher's own
) -> tuple[Fetched, list[bytes]]:
    stalls = settings.pop("stalls", False)

    async def work() -> tuple[Fetched, list[bytes]]:
        tls = authority.server_context() if authority else context
        async with server(answer, tls, stalls=stalls) as (base, seen):
            fetcher = HttpFetcher(resolve={HOST: base}, authorities=(PUBLIC.pem,), **settings)
            return await fetcher.fetch(url), seen

    return asyncio.run(work())


def der(authority: CertificateAuthority) -> bytes:
    return ssl.PEM_cert_to_DER_cert(authority.pem)


def test_plain_link_is_trusted_and_has_no_chain() -> None:
    fetched, seen = fetch(OK, url=f"https://{HOST}/a/keys?x=1")
    assert (fetched.status, fetched.body, fetched.chain, fetched.trusted) == (200, b"{}", (), True)
    assert seen[0].startswith(b"GET /a/keys?x=1 HTTP/1.1\r\nHost: idp.agents.example\r\n")


def test_chain_of_a_configured_authority_is_trusted() -> None:
    fetched, _ = fetch(OK, authority=PUBLIC)
    assert fetched.trusted
    assert fetched.chain[-1] == der(PUBLIC)


def test_chain_of_another_authority_is_shown_and_not_trusted() -> None:
    fetched, _ = fetch(OK, authority=PRIVATE)
    assert not fetched.trusted
    assert fetched.chain[-1] == der(PRIVATE)
    assert len(fetched.chain) == 2


def test_pinned_certificate_appended_to_a_strangers_chain_is_no_chain() -> None:
    stranger = CertificateAuthority.create("stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(stranger._leaf(HOST))  # noqa: SLF001 - the attack needs a leaf with its key
        file.write(PRIVATE.pem.encode())
        file.flush()
        context.load_cert_chain(file.name)
    with pytest.raises(FetchError):
        fetch(OK, context=context)


def test_certificate_for_another_name_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(PUBLIC._leaf("other.example"))  # noqa: SLF001 - a leaf for the wrong name
        file.flush()
        context.load_cert_chain(file.name)
    with pytest.raises(FetchError):
        fetch(OK, context=context)


def test_redirect_is_an_answer_and_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
    fetched, seen = fetch(answer)
    assert fetched.status == 302
    assert len(seen) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BODY + 1),
    ],
    ids=["nothing", "garbage", "cut short", "two lengths", "too big"],
)
def test_broken_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(FetchError):
        fetch(answer)


def test_stalled_answer_is_an_error() -> None:
    with pytest.raises(FetchError):
        fetch(b"HTTP/1.1 200 OK\r\n", stalls=True, timeout=0.2)


@pytest.mark.parametrize(
    "url",
    ["https://other.example/", "http://idp.agents.example/", "file:///etc/passwd", "", "https://"],
)
def test_what_was_not_mapped_is_not_reached(url: str) -> None:
    with pytest.raises(FetchError):
        fetch(OK, url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1/keys",
        "https://idp.example/keys?a=ü",
        "https://idp.example/k ys",
        "https://idp.example\\@other.example/",
        "keys",
        "",
    ],
)
def test_what_is_no_url_is_not_fetched(url: str) -> None:
    fetcher = HttpFetcher(resolve={"idp.example": "http://127.0.0.1:9"})
    with pytest.raises(FetchError):
        asyncio.run(fetcher.fetch(url))


@pytest.mark.parametrize("base", ["https://10.0.0.1", "http://example.com", "ftp://127.0.0.1", "x"])
def test_host_is_mapped_to_loopback_only(base: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|address"):
        HttpFetcher(resolve={HOST: base})
