"""Clients that are not ours, unpatched, over real TLS: get tokens, exchange them, use them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.requests_client import (  # type: ignore[import-untyped] # published without types
    OAuth2Session,
)
from authlib.oauth2.rfc7523 import (  # type: ignore[import-untyped] # published without types
    PrivateKeyJWT,
)
from authlib.oauth2.rfc8414 import (  # type: ignore[import-untyped] # published without types
    AuthorizationServerMetadata,
)
from joserfc.jwk import ECKey
from requests_oauth2client import (
    DPoPKey,
    DPoPToken,
    InvalidClient,
    OAuth2Client,
    PrivateKeyJwt,
)

from iamrange.identity.dpop import access_token_hash
from iamrange.identity.names import AUTH_ISSUER, DEFAULT_RESOURCE, TOKEN_ENDPOINT
from tests.conformance.tokens.lab import (
    ACCESS_TOKEN,
    ANALYST,
    CUSTOMERS,
    EXCHANGE,
    LOGS,
    WORKER,
    House,
    Party,
)

if TYPE_CHECKING:
    import requests

    from tests.conformance.tokens.network import Network


def discovered(network: Network, party: Party) -> OAuth2Client:
    """Return requests-oauth2client's client, configured by our metadata alone."""
    session = network.session()
    metadata = session.get(f"{AUTH_ISSUER}/.well-known/oauth-authorization-server").json()
    return OAuth2Client.from_discovery_document(
        metadata,
        issuer=AUTH_ISSUER,
        auth=PrivateKeyJwt(party.id, party.key.private_jwk(), aud=metadata["issuer"]),
        session=session,
        dpop_bound_access_tokens=True,
    )


def call(network: Network, url: str, token: DPoPToken) -> requests.Response:
    return network.session().get(f"{url}/records", auth=token, timeout=20)


def test_requests_oauth2client_gets_a_bound_token_with_the_nonce_and_uses_it(
    strict_house: House, network: Network
) -> None:
    token = discovered(network, strict_house.analyst).client_credentials(scope="read:customers")
    assert isinstance(token, DPoPToken)
    assert token.expires_in == pytest.approx(300, abs=10)
    answer = call(network, DEFAULT_RESOURCE, token)
    assert answer.json() == {"sub": ANALYST, "actors": [], "scopes": ["read:customers"]}
    asked = [record.reason for record in strict_house.records if record.point == "as.token"]
    assert asked == ["missing-nonce", "issued"]


def test_requests_oauth2client_exchanges_for_another_agent_that_acts(
    strict_house: House, network: Network
) -> None:
    subject = discovered(network, strict_house.analyst).client_credentials()
    exchanged = discovered(network, strict_house.worker).token_exchange(
        subject_token=subject.access_token,
        subject_token_type=ACCESS_TOKEN,
        dpop=True,
        resource=CUSTOMERS,
        scope="read:customers",
    )
    assert isinstance(exchanged, DPoPToken)
    answer = call(network, CUSTOMERS, exchanged)
    assert answer.json() == {"sub": ANALYST, "actors": [WORKER], "scopes": ["read:customers"]}
    assert call(network, LOGS, exchanged).status_code == 401


def test_requests_oauth2client_narrows_its_own_token_with_the_same_key(
    strict_house: House, network: Network
) -> None:
    client, key = discovered(network, strict_house.analyst), DPoPKey.generate()
    held = client.client_credentials(dpop_key=key)
    narrowed = client.token_exchange(
        subject_token=held.access_token,
        subject_token_type=ACCESS_TOKEN,
        dpop_key=key,
        resource=LOGS,
        scope="read:logs",
    )
    assert isinstance(narrowed, DPoPToken)
    assert call(network, LOGS, narrowed).json()["scopes"] == ["read:logs"]


def test_requests_oauth2client_revokes_and_introspects_its_token(
    strict_house: House, network: Network
) -> None:
    client = discovered(network, strict_house.analyst)
    token = client.client_credentials(scope="read:status")
    assert isinstance(token, DPoPToken)
    seen: Any = client.introspect_token(token.access_token)
    assert seen["active"] is True
    assert seen["sub"] == ANALYST
    assert client.revoke_access_token(token.access_token) is True
    assert client.introspect_token(token.access_token) == {"active": False}
    assert call(network, DEFAULT_RESOURCE, token).status_code == 401


def test_requests_oauth2client_is_refused_when_it_names_the_token_endpoint_as_audience(
    strict_house: House, network: Network
) -> None:
    party = strict_house.analyst
    client = OAuth2Client(
        TOKEN_ENDPOINT,
        auth=PrivateKeyJwt(party.id, party.key.private_jwk()),
        session=network.session(),
    )
    with pytest.raises(InvalidClient):
        client.client_credentials()
    assert strict_house.records[-1].reason == "wrong-audience"


def authlib(network: Network, party: Party) -> OAuth2Session:
    """Return Authlib's client; the assertion's audience is the issuer of our metadata."""
    metadata = network.session().get(f"{AUTH_ISSUER}/.well-known/oauth-authorization-server").json()
    session = OAuth2Session(
        party.id,
        ECKey.import_key(party.key.private_jwk()),
        token_endpoint_auth_method="private_key_jwt",
        revocation_endpoint_auth_method="private_key_jwt",
        token_endpoint=metadata["token_endpoint"],
    )
    session.register_client_auth_method(PrivateKeyJWT(metadata["issuer"], alg="ES256"))
    network.configure(session)
    return session


def nonce_of(network: Network, party: Party) -> str:
    """Ask for a nonce as RFC 9449 section 8 does: by a proof without one."""
    answer = network.session().post(
        TOKEN_ENDPOINT,
        data={
            "grant_type": "client_credentials",
            "client_assertion": party.assertion(),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        headers={"DPoP": party.proof()},
        timeout=20,
    )
    assert answer.json()["error"] == "use_dpop_nonce"
    return answer.headers["DPoP-Nonce"]


def authlib_token(network: Network, party: Party, **form: str) -> dict[str, Any]:
    """Get a bound token by Authlib's client; it knows no DPoP, so the proof is a header."""
    proof = party.proof(nonce=nonce_of(network, party))
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
        "DPoP": proof,
    }
    with authlib(network, party) as session:
        asked = {"grant_type": "client_credentials"} | form
        return dict(session.fetch_token(headers=headers, **asked))


def use(network: Network, party: Party, resource: str, token: str) -> requests.Response:
    """Use a bound token at a service, retrying with its nonce."""
    url, nonce = f"{resource}/records", None
    while True:
        proof = party.proof(htm="GET", htu=url, ath=access_token_hash(token), nonce=nonce)
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        answer = network.session().get(url, headers=headers, timeout=20)
        if answer.status_code != 401 or nonce is not None:
            return answer
        nonce = answer.headers["DPoP-Nonce"]


def test_authlib_gets_a_bound_token_and_uses_it(strict_house: House, network: Network) -> None:
    party = strict_house.analyst
    token = authlib_token(network, party, scope="read:logs", resource=LOGS)
    assert token["token_type"] == "DPoP"
    answer = use(network, party, LOGS, token["access_token"])
    assert answer.json() == {"sub": ANALYST, "actors": [], "scopes": ["read:logs"]}


def test_authlib_exchanges_a_token_and_uses_it(strict_house: House, network: Network) -> None:
    held = authlib_token(network, strict_house.analyst)
    exchanged = authlib_token(
        network,
        strict_house.worker,
        grant_type=EXCHANGE,
        subject_token=held["access_token"],
        subject_token_type=ACCESS_TOKEN,
        resource=CUSTOMERS,
        scope="read:customers",
    )
    answer = use(network, strict_house.worker, CUSTOMERS, exchanged["access_token"])
    assert answer.json()["actors"] == [WORKER]


def test_authlib_introspects_and_revokes(strict_house: House, network: Network) -> None:
    party = strict_house.analyst
    token = authlib_token(network, party)["access_token"]
    with authlib(network, party) as session:
        shown = session.introspect_token(f"{AUTH_ISSUER}/oauth/introspect", token=token)
        assert shown.json()["active"] is True
        assert session.revoke_token(f"{AUTH_ISSUER}/oauth/revoke", token=token).status_code == 200
        shown = session.introspect_token(f"{AUTH_ISSUER}/oauth/introspect", token=token)
        assert shown.json() == {"active": False}
    assert use(network, party, DEFAULT_RESOURCE, token).status_code == 401


def test_authlib_finds_our_metadata_valid(network: Network) -> None:
    answer = network.session().get(f"{AUTH_ISSUER}/.well-known/oauth-authorization-server")
    document = AuthorizationServerMetadata(answer.json())
    document.validate()
    assert document.issuer == AUTH_ISSUER


def test_an_assertion_that_lives_for_an_hour_dies_with_its_age(
    strict_house: House, network: Network
) -> None:
    del network
    now = int(time.time())
    old = strict_house.analyst.assertion(iat=now - 301, exp=now + 3299)
    answer = strict_house.post(client_assertion=old)
    assert answer.verdict == (401, "invalid_client", "too-old")


def test_request_that_was_asked_for_a_nonce_goes_through_with_the_same_assertion(
    strict_house: House, network: Network
) -> None:
    assert strict_house is not None
    party = strict_house.analyst
    form = {
        "grant_type": "client_credentials",
        "client_assertion": party.assertion(),
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }

    def post(nonce: str | None = None) -> requests.Response:
        headers = {"DPoP": party.proof() if nonce is None else party.proof(nonce=nonce)}
        return network.session().post(TOKEN_ENDPOINT, data=form, headers=headers, timeout=20)

    asked = post()
    assert asked.json()["error"] == "use_dpop_nonce"
    nonce = asked.headers["DPoP-Nonce"]
    assert post(nonce).status_code == 200
    assert post(nonce).json()["error"] == "invalid_client"
