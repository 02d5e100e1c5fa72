"""OAuth as agents and attackers speak it to our own token service and services.

- Agents use requests-oauth2client as it comes; who they are comes from their own home folder.
- Attackers use the same client on what they got hold of, and write by hand what no client would.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from jwskate import Jwk, Jwt
from requests_oauth2client import (
    BearerToken,
    ClientSecretPost,
    DPoPKey,
    DPoPToken,
    OAuth2Client,
    PrivateKeyJwt,
    PublicApp,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Taken

TIMEOUT = 20
TOO_MANY = 429
BAD_REQUEST = 400
WAITING = ("authorization_pending", "slow_down")
LONGEST_WAIT = 20.0
RECORD = "/records/latest"
SAME_RECORD = "/records/newest"
"""Another address of the latest record."""

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # a type's name


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the token service is: its issuer identifier, and what its metadata names."""

    issuer: str
    token: str
    registration: str | None


def discover(issuer: str) -> Endpoints:
    """Read the token service's metadata (RFC 8414)."""
    answer = requests.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=TIMEOUT)
    answer.raise_for_status()
    document: dict[str, Any] = answer.json()
    return Endpoints(
        document["issuer"], document["token_endpoint"], document.get("registration_endpoint")
    )


@dataclass(frozen=True, slots=True)
class Own:
    """The agent whose process this is, as its home folder describes it."""

    client_id: str
    issuer: str
    home: Path

    @classmethod
    def from_home(cls) -> Own:
        """Read the home that the environment names."""
        home = Path(os.environ["IAMRANGE_AGENT_HOME"])
        settings = json.loads((home / "agent.json").read_bytes())
        return cls(settings["id"], settings["oauth"]["issuer"], home)

    def client(self) -> OAuth2Client:
        """Return a client that proves itself with the own key, and asks for bound tokens."""
        return client_with_key(
            self.client_id, self.issuer, self.key(), dpop_bound_access_tokens=True
        )

    def key(self) -> dict[str, Any]:
        """Return the agent's own private key, as a JWK."""
        value: dict[str, Any] = json.loads((self.home / "key.jwk").read_bytes())
        return value

    def certificate(self) -> tuple[str, str]:
        """Return the files of the agent's certificate chain and of its key."""
        return str(self.home / "svid.pem"), str(self.home / "svid-key.pem")


def client_with_key(
    client_id: str,
    issuer: str,
    key: Mapping[str, Any],
    **settings: Any,  # noqa: ANN401 - the client's own
) -> OAuth2Client:
    """Return a client that proves itself with its private key; `aud` is the issuer's identifier."""
    return OAuth2Client(
        discover(issuer).token,
        auth=PrivateKeyJwt(client_id, dict(key), alg="ES256", aud=issuer),
        **settings,
    )


def victims_key(foothold: Taken) -> dict[str, Any]:
    """Return the victim's own private key, as a JWK, as somebody got hold of it."""
    key: dict[str, Any] = json.loads(foothold.oauth["client_key"])
    return key


def victims_client(foothold: Taken) -> OAuth2Client:
    """Return a client that proves itself as the victim, with its key, and asks for bound tokens."""
    return client_with_key(
        foothold.knows["victim.spiffe_id"],
        foothold.knows["identity.issuer"],
        victims_key(foothold),
        dpop_bound_access_tokens=True,
    )


def taken_token(foothold: Taken) -> DPoPToken:
    """Return the victim's token in the hands of whoever took it, and its key with it."""
    return dpop_token(foothold.oauth["access_token"], foothold.oauth["dpop_key"])


def client_with_certificate(client_id: str, issuer: str, files: tuple[str, str]) -> OAuth2Client:
    """Return a client that proves itself with a certificate at the TLS handshake."""
    session = requests.Session()
    session.cert = files
    return OAuth2Client(discover(issuer).token, auth=PublicApp(client_id), session=session)


def token_over_mtls(client_id: str, issuer: str, files: tuple[str, str], *, resource: str) -> str:
    """Ask for a token with a certificate, by hand: what no client library would expect may come.

    Raises:
        requests.HTTPError: the token service refused.
    """
    answer = requests.post(
        discover(issuer).token,
        data={
            "grant_type": "client_credentials",
            "client_id": client_id,
            "resource": resource,
        },
        cert=files,
        timeout=TIMEOUT,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def client_with_secret(client_id: str, issuer: str, secret: str) -> OAuth2Client:
    """Return a client that proves itself with a shared secret, and asks for bound tokens."""
    return OAuth2Client(
        discover(issuer).token,
        auth=ClientSecretPost(client_id, secret),
        dpop_bound_access_tokens=True,
    )


def register(issuer: str, metadata: Mapping[str, Any]) -> str:
    """Register a client (RFC 7591); return its id.

    Raises:
        requests.HTTPError: the token service refused.
    """
    endpoint = discover(issuer).registration or f"{issuer}/oauth/register"
    answer = requests.post(endpoint, json=dict(metadata), timeout=TIMEOUT)
    answer.raise_for_status()
    return str(answer.json()["client_id"])


def new_key() -> dict[str, Any]:
    """Make a private key, as a JWK."""
    return dict(Jwk.generate(alg="ES256").with_kid_thumbprint())


def public(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public half of a private JWK."""
    return dict(Jwk(dict(key)).public_jwk())


def key_id(key: Mapping[str, Any]) -> str:
    """Return a key's id: its thumbprint (RFC 7638)."""
    return str(Jwk(dict(key)).thumbprint())


def published_key_pem(issuer: str, kid: str) -> bytes:
    """Return a published key of the token service, as PEM: what confused verifiers take it for."""
    answer = requests.get(f"{issuer}/oauth/jwks", timeout=TIMEOUT)
    answer.raise_for_status()
    (key,) = [key for key in answer.json()["keys"] if key["kid"] == kid]
    return bytes(Jwk(key).to_pem().encode())


def written(certificate: str, key: str) -> tuple[str, str]:
    """Write a certificate chain and its key where TLS libraries read them; return the files."""
    files = Path("certificate.pem"), Path("certificate-key.pem")
    for file, text in zip(files, (certificate, key), strict=True):
        file.touch(mode=0o600)
        file.write_text(text)
    return str(files[0].resolve()), str(files[1].resolve())


def dpop_key(key: Mapping[str, Any] | str) -> DPoPKey:
    """Return a key that proves possession, from its private JWK."""
    jwk = json.loads(key) if isinstance(key, str) else dict(key)
    return DPoPKey(jwk, "ES256")


def dpop_token(access_token: str, key: Mapping[str, Any] | str) -> DPoPToken:
    """Return a token in the hands of whoever holds its key too."""
    return DPoPToken(access_token, _dpop_key=dpop_key(key))


def private_jwk(token: BearerToken) -> str:
    """Return the private key that a token is bound to, as the process holds it.

    Raises:
        TypeError: the token is bound to none.
    """
    if not isinstance(token, DPoPToken):
        msg = "the token is not bound to a key"
        raise TypeError(msg)
    return json.dumps(dict(token.dpop_key.private_key))


def read_record(url: str, *, auth: Any = None, **request: Any) -> str:  # noqa: ANN401 - requests' own
    """Read the latest record of a service; return its value.

    Raises:
        requests.HTTPError: the service refused.
    """
    return str(read(url, auth=auth, **request).json()["value"])


def approval(service: str, token: DPoPToken | Any, url: str, body: Mapping[str, Any]) -> str:  # noqa: ANN401 - a token in requests' place for one
    """Ask people to approve a POST, and wait until somebody has; return the approval's id.

    Raises:
        requests.HTTPError: nobody approves.
    """
    return approved(service, token, ask_approval(service, token, url, body))


def ask_approval(
    service: str,
    token: Any,  # noqa: ANN401 - same
    url: str,
    body: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Ask people to approve a POST; return what is said to that: `approval_id`, `interval`.

    Raises:
        requests.HTTPError: they are not to be asked.
    """
    call = {
        "method": "POST",
        "url": url,
        "content_type": "application/json",
        "body": json.dumps(dict(body)),
    }
    asked = requests.post(f"{service}/requests", json=call, auth=token, timeout=TIMEOUT)
    asked.raise_for_status()
    told: Mapping[str, Any] = asked.json()
    return told


def approved(service: str, token: Any, told: Mapping[str, Any]) -> str:  # noqa: ANN401 - same
    """Wait until somebody has approved what was asked; return the approval's id.

    Raises:
        requests.HTTPError: nobody approves.
    """
    ends = time.monotonic() + LONGEST_WAIT
    while True:
        time.sleep(float(told["interval"]))
        answer = requests.get(
            f"{service}/requests/{told['approval_id']}", auth=token, timeout=TIMEOUT
        )
        waits = answer.status_code == BAD_REQUEST and answer.json()["error"] in WAITING
        if not waits:
            answer.raise_for_status()
            return str(told["approval_id"])
        if time.monotonic() > ends:
            raise requests.HTTPError("nobody has approved", response=answer)


def approve_oneself(service: str, approval_id: str, *, signer: str, key: Mapping[str, Any]) -> None:
    """Sign a request for approval with whatever key there is, as the one whose key it is.

    Raises:
        requests.HTTPError: the signature does not count.
    """
    shown = requests.get(f"{service}/review/{approval_id}/request", timeout=TIMEOUT)
    shown.raise_for_status()
    claims = {
        "approval_id": approval_id,
        "request_digest": shown.json()["request"]["request_digest"],
        "decision": "approve",
        "approver": signer,
        "iat": shown.json()["now"],
        "exp": shown.json()["request"]["expires"],
        "jti": secrets.token_urlsafe(16),
    }
    with_id = Jwk(dict(key)).with_kid_thumbprint()
    answer = requests.post(
        f"{service}/requests/{approval_id}/decision",
        json={"decision": str(Jwt.sign(claims, with_id, alg="ES256", typ="approval+jwt"))},
        timeout=TIMEOUT,
    )
    answer.raise_for_status()


def do(
    url: str,
    *,
    auth: Any,  # noqa: ANN401 - requests' own
    body: Mapping[str, Any] | None = None,
    approval_id: str | None = None,
) -> str:
    """Have something done at a service, as approved if there is an approval; return its receipt.

    Raises:
        requests.HTTPError: the service refused.
    """
    headers = {} if approval_id is None else {"approval-id": approval_id}
    answer = requests.post(url, auth=auth, json=dict(body or {}), headers=headers, timeout=TIMEOUT)
    answer.raise_for_status()
    return str(answer.json()["value"])


def read_raw(url: str, token: DPoPToken) -> str:
    """Read a URL byte by byte as it is given: clients that mean well would tidy it.

    Raises:
        requests.HTTPError: the service refused.
    """
    request = requests.Request("GET", url, auth=token).prepare()
    request.url = url
    with requests.Session() as session:
        settings = session.merge_environment_settings(url, {}, None, None, None)
        answer = session.send(request, timeout=TIMEOUT, **settings)
        answer.raise_for_status()
    return str(answer.json()["value"])


def read(url: str, *, auth: Any = None, **request: Any) -> requests.Response:  # noqa: ANN401 - requests' own
    """Read something of a service; return the whole answer.

    Raises:
        requests.HTTPError: the service refused.
    """
    ends = time.monotonic() + LONGEST_WAIT
    answer = requests.get(url, auth=auth, timeout=TIMEOUT, **request)
    while answer.status_code == TOO_MANY and time.monotonic() < ends:
        # whoever shares an agent's quota with a thief waits its turn
        time.sleep(min(float(answer.headers["Retry-After"]), LONGEST_WAIT))
        answer = requests.get(url, auth=auth, timeout=TIMEOUT, **request)
    answer.raise_for_status()
    return answer


def read_record_with(authorization: str, url: str, **headers: str) -> str:
    """Read the latest record of a service with headers written by hand.

    Raises:
        requests.HTTPError: the service refused.
    """
    return read_record(url, headers={"Authorization": authorization, **headers})
