"""A range that is left running: its sidecars have new certificates before the old ones end."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from iamrange.identity.certificates.svid import new_key
from iamrange.network.ca import CertificateAuthority
from iamrange.range import mesh as mesh_module
from iamrange.range.config import WorldConfig
from iamrange.range.content import Content
from iamrange.range.mesh import Mesh
from iamrange.range.services import GATEWAY_ID, SERVICES

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PATIENCE = 20.0


async def serial_of(mesh: Mesh, service: str, context: ssl.SSLContext) -> int:
    """Return the number of the certificate that a service's sidecar presents."""
    host, port = await mesh.envoy.sidecar(service)()
    name = SERVICES[service].mesh_host
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.write(f"GET /records/latest HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    assert b" 404 " in await reader.readline()  # the gateway is let in; nothing is planted here
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


def test_svids_of_gateway_and_sidecars_are_replaced_and_calls_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_module, "RENEW_SECONDS", 0.5)
    content = Content(WorldConfig(run_id="renewal"), tmp_path)
    sockets = tmp_path / "m"
    sockets.mkdir()
    key, private = new_key()
    svid = content.identity.authority.issue_svid(GATEWAY_ID, key.public_key())
    (tmp_path / "gateway.pem").write_text(svid.chain_pem + private)
    context = ssl.create_default_context(cadata=content.identity.trust_bundle_pem)
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "gateway.pem")

    async def live() -> None:
        authority = CertificateAuthority.create("test")
        mesh = Mesh(content.identity, authority, sockets, content.records)
        for edge in mesh.edges:
            await edge.start()
        try:
            first = {name: await serial_of(mesh, name, context) for name in SERVICES}
            waiting = dict(first)
            async with asyncio.timeout(PATIENCE):
                while waiting:
                    await asyncio.sleep(0.2)
                    for name, serial in list(waiting.items()):
                        if await serial_of(mesh, name, context) != serial:
                            del waiting[name]
            running = mesh.envoy.running
            assert running is not None
            running.check()  # the same one: nothing was started anew
        finally:
            await mesh.stop()
            for edge in mesh.edges:
                await edge.stop()

    asyncio.run(live())
