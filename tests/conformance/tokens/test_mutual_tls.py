"""Certificate methods end to end: requests-oauth2client, a real Envoy, tokens bound to the SVID."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests_oauth2client import (
    BearerToken,
    InvalidClient,
    InvalidRequest,
    OAuth2Client,
    PublicApp,
)

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.forwarded import XfccMiddleware
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.svid import new_key_and_request, thumbprint
from iamrange.identity.names import DEFAULT_RESOURCE, TOKEN_ENDPOINT
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import ASGIApp, Edge, Route
from iamrange.network.envoy import EnvoyConfig, EnvoyProcess, Upstream
from iamrange.network.proxy import Proxy
from tests.conformance.tokens.lab import ACCESS_TOKEN, ANALYST, CUSTOMERS, House, Party
from tests.conformance.tokens.network import guarded

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

AUTH, API = "auth.iamrange.example", DEFAULT_RESOURCE.removeprefix("https://")
CUSTOMERS_HOST = CUSTOMERS.removeprefix("https://")


class BehindEnvoy:
    """The token service and two services on unix sockets, behind one Envoy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.house = House()
        self.house.change(self.house.analyst, tls_subject=True)
        ca = CertificateAuthority.create("tokens")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(ca.pem)
        hosts = (AUTH, API, CUSTOMERS_HOST)
        self._config = EnvoyConfig(
            upstreams=tuple(Upstream((host,), self._socket(host)) for host in hosts),
            certificate=ca.server_certificate(list(hosts)),
        )
        apps: dict[str, ASGIApp] = {
            AUTH: self.house.service,
            API: guarded(self.house, DEFAULT_RESOURCE),
            CUSTOMERS_HOST: guarded(self.house, CUSTOMERS),
        }
        self._edges = [
            Edge(
                [Route(host, XfccMiddleware(app, self._config.secret))],
                ca=None,
                unix_socket=self._socket(host),
            )
            for host, app in apps.items()
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._start())

    def _socket(self, host: str) -> Path:
        return self.folder / f"{host.partition('.')[0]}.sock"

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _start(self) -> None:
        for edge in self._edges:
            await edge.start()
        state = self.folder / "envoy"
        state.mkdir()
        self._envoy = await EnvoyProcess.start(self._config, state)
        self._proxy = Proxy("agents", targets={"*": ("127.0.0.1", self._envoy.port)})
        await self._proxy.start()

    async def _stop(self) -> None:
        await self._proxy.stop()
        await self._envoy.stop()
        for edge in self._edges:
            await edge.stop()

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def session(self, certificate: Path | None) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self._proxy.url}
        session.verify = str(self.ca_file)
        session.cert = None if certificate is None else str(certificate)
        return session

    def client(self, certificate: Path | None, client_id: str = ANALYST) -> OAuth2Client:
        return OAuth2Client(
            TOKEN_ENDPOINT, auth=PublicApp(client_id), session=self.session(certificate)
        )

    def svid(self, authority: LocalAuthority, name: str = "svid.pem") -> Path:
        made = new_key_and_request(ANALYST)
        request = x509.load_pem_x509_csr(made.request_pem.encode())
        issued = authority.issue_svid(ANALYST, request.public_key())
        path = self.folder / name
        path.write_text(made.private_key_pem + issued.chain_pem)
        return path

    def use(self, token: BearerToken, certificate: Path | None) -> requests.Response:
        with self.session(certificate) as session:
            return session.get(f"{DEFAULT_RESOURCE}/records", auth=token, timeout=20)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindEnvoy]:
    # a short folder: a unix socket's path has about a hundred characters
    running = BehindEnvoy(tmp_path_factory.mktemp("m"))
    try:
        yield running
    finally:
        running.close()


def test_an_svid_gets_a_token_that_only_its_own_connection_may_use(behind: BehindEnvoy) -> None:
    svid = behind.svid(behind.house.authority)
    token = behind.client(svid).client_credentials(scope="read:status")
    assert behind.house.records[-1].layers[1].reason == "tls_client_auth"
    assert behind.use(token, svid).json()["sub"] == ANALYST
    # 63: no certificate, or another one of the same agent
    assert behind.use(token, None).status_code == 401
    other = behind.svid(behind.house.authority, "other.pem")
    assert behind.use(token, other).status_code == 401


def test_65_an_svid_of_another_authority_gets_nothing(behind: BehindEnvoy) -> None:
    other = LocalAuthority.create("other", clock=SystemClock())
    with pytest.raises(InvalidClient):
        behind.client(behind.svid(other, "foreign.pem")).client_credentials()
    assert behind.house.records[-1].reason == "untrusted"


def test_without_a_certificate_there_is_no_client(behind: BehindEnvoy) -> None:
    with pytest.raises(InvalidClient):
        behind.client(None).client_credentials()


def test_a_registered_self_signed_certificate_gets_a_token_bound_to_it(
    behind: BehindEnvoy,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = behind.folder / "self-signed.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    x5t = thumbprint(made.public_bytes(serialization.Encoding.DER))
    sensor = Party("spiffe://iamrange.example/agent/sensor")
    behind.house.register(sensor, scopes={"read:status"}, certificates=(x5t,))
    token = behind.client(path, sensor.id).client_credentials()
    assert behind.use(token, path).json()["sub"] == sensor.id
    assert behind.use(token, None).status_code == 401


def test_a_certificate_bound_token_is_narrowed_with_the_same_certificate_only(
    behind: BehindEnvoy,
) -> None:
    svid = behind.svid(behind.house.authority)
    client = behind.client(svid)
    held = client.client_credentials()
    narrowed = client.token_exchange(
        subject_token=held.access_token,
        subject_token_type=ACCESS_TOKEN,
        resource=CUSTOMERS,
        scope="read:customers",
    )
    with behind.session(svid) as session:
        answer = session.get(f"{CUSTOMERS}/records", auth=narrowed, timeout=20)
    assert answer.json()["scopes"] == ["read:customers"]
    other = behind.client(behind.svid(behind.house.authority, "other.pem"))
    with pytest.raises(InvalidRequest):
        other.token_exchange(subject_token=held.access_token, subject_token_type=ACCESS_TOKEN)
    assert behind.house.records[-1].reason == "certificate-not-proved"


@pytest.mark.parametrize("name", ["x-forwarded-client-cert", "x-iamrange-edge"])
def test_75_a_clients_own_copy_of_the_edges_headers_is_nothing(
    behind: BehindEnvoy, name: str
) -> None:
    with behind.session(None) as session:
        answer = session.post(
            TOKEN_ENDPOINT,
            data={"grant_type": "client_credentials", "client_id": ANALYST},
            headers={name: f"By=x;Hash=y;URI={ANALYST}"},
            timeout=20,
        )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
