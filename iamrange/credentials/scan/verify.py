"""Try what a scan found on the running range: does the credential still open anything?

- Loopback only: everything goes to the range's own CONNECT proxy, which refuses other names. There
  is no other way out, whatever a finding or the environment says.
- A finding chooses no address: hosts are the ranges' own and the clouds' default ones.
- The answer is live, dead, or unknown with a reason. What failed is unknown, never dead.
"""

from __future__ import annotations

import ipaddress
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from iamrange.credentials.scan.live import Answer, dead, live, unknown
from iamrange.credentials.scan.verify_tokens import Holder, token_state
from iamrange.identity.names import TOKEN_ENDPOINT
from iamrange.jose import thumbprint
from iamrange.network.names import VAULT_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.credentials.scan.finding import Scan

_TIMEOUT: Final = 10
_GOOGLE_TOKEN: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_GOOGLE_INFO: Final = "https://oauth2.googleapis.com/tokeninfo"
_ACCESS_KEY: Final = re.compile(r"(?<![A-Za-z0-9])((?:AKIA|ASIA)[A-Z2-7]{16})(?![A-Za-z0-9])")
_SESSION_TOKEN: Final = re.compile(r"(?i)session_?token[\"'\s:=]{1,8}([A-Za-z0-9+/=]{100,4000})")
_EMAIL: Final = re.compile(r"[a-z0-9-]{1,64}@[a-z0-9.-]{1,128}\.gserviceaccount\.com")
_WRAPPING: Final = f"https://{VAULT_HOST}/v1/sys/wrapping/lookup"
_LOOKUP: Final = f"https://{VAULT_HOST}/v1/auth/token/lookup"
_AGENT: Final = re.compile(r"spiffe://[a-z0-9.-]+/[a-z0-9./-]+")
_KEY_TEXT: Final = re.compile(
    r"-----BEGIN (?:RSA )?PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{64,16384}"
    r"-----END (?:RSA )?PRIVATE KEY-----"
)
_DEAD_AT_AWS: Final = frozenset({"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"})
_DONE, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 200, 400, 401, 403


class NotLocalError(Exception):
    """The range's proxy is not on this machine's loopback: nothing is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The running range: its proxy and authority, who is in its directory, its vault's token."""

    proxy: str
    authority: str
    homes: Mapping[str, str]
    key_owner: Callable[[str], str | None]
    vault_administrator: str = field(repr=False)

    @classmethod
    def of(cls, state: Mapping[str, Any], key_owner: Callable[[str], str | None]) -> Target:
        """Read the state of a running range; `key_owner` names who has a key, by its thumbprint.

        Raises:
            NotLocalError: its proxy is somewhere else.
        """
        network = next(iter(state["networks"].values()))
        proxy = network["HTTPS_PROXY"]
        host = urlsplit(proxy).hostname or ""
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = False
        if not local:
            raise NotLocalError(f"proxy '{host}': expected a loopback address")
        homes = {
            facts["spiffe_id"]: state["homes"][part]
            for part, facts in state["facts"].items()
            if part in state["homes"] and "spiffe_id" in facts
        }
        return cls(
            proxy=proxy,
            authority=state["ca_file"],
            homes=homes,
            key_owner=key_owner,
            vault_administrator=state["vault"]["token"],
        )

    def session(self) -> requests.Session:
        """Return an HTTP client that knows this range and nothing else."""
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self.proxy, "http": self.proxy}
        session.verify = self.authority
        return session

    def holder(self, client: str) -> Holder | None:
        """Return the agent's own means to ask for its tokens, where this range has its home."""
        home = self.homes.get(client)
        if home is None:
            return None
        try:
            return Holder(client, json.loads((Path(home) / "key.jwk").read_bytes()))
        except (OSError, ValueError):
            return None


def tried(scan: Scan, target: Target) -> dict[str, Answer]:
    """Return, for each value that a scan kept, whether it is live, dead, or unknown and why."""
    rules = {finding.value: finding.rule for finding in scan.findings}
    answers: dict[str, Answer] = {}
    for value, (secret, around) in scan.secrets.items():
        check = _CHECKS.get(rules.get(value, ""))
        if check is None:
            answers[value] = unknown("nothing of this range takes such a credential")
            continue
        try:
            answers[value] = check(target, secret, around)
        except (requests.RequestException, BotoCoreError, GoogleAuthError, OSError) as error:
            answers[value] = unknown(f"the range did not answer ({type(error).__name__})")
    return answers


def _aws(target: Target, secret: str, around: str) -> Answer:
    ids = _ACCESS_KEY.findall(around)
    if not ids:
        return unknown("no access key id beside it")
    place = around.find(secret)
    chosen = min(ids, key=lambda one: abs(around.find(one) - place))
    token = _SESSION_TOKEN.search(around)
    if chosen.startswith("ASIA") and token is None:
        return unknown("a temporary key, and no session token beside it")
    client = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url="https://sts.us-east-1.amazonaws.com",
        aws_access_key_id=chosen,
        aws_secret_access_key=secret,
        aws_session_token=token[1] if token is not None and chosen.startswith("ASIA") else None,
        verify=target.authority,
        config=Config(
            proxies={"https": target.proxy},
            connect_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            retries={"total_max_attempts": 1},
        ),
    )
    try:
        return live(f"STS: {client.get_caller_identity()['Arn']}")
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        return dead(f"STS: {code}") if code in _DEAD_AT_AWS else unknown(f"STS: {code}")


def _google_key(target: Target, _: str, around: str) -> Answer:
    email, key = _EMAIL.search(around), _KEY_TEXT.search(around)
    if email is None or key is None:
        return unknown("no whole key file around it")
    info = {
        "client_email": email[0],
        "private_key": key[0].replace("\\n", "\n"),
        "token_uri": _GOOGLE_TOKEN,  # never the one in the finding
    }
    ident = re.search(r"private_key_id[\"'\s:\\]{1,12}([0-9a-f]{8,64})", around)
    if ident is not None:
        info["private_key_id"] = ident[1]
    try:
        credentials = service_account.Credentials.from_service_account_info(
            info, scopes=["https://www.googleapis.com/auth/cloud-platform"]
        )
    except ValueError:
        return unknown("no well-formed private key")
    try:
        credentials.refresh(Request(session=target.session()))
    except RefreshError as error:
        said = str(error.args[0])
        return (
            dead(f"Google: {said[:60]}") if "invalid_grant" in said else unknown("Google refused")
        )
    return live(f"Google gave a token for {email[0]}")


def _google_token(target: Target, secret: str, _: str) -> Answer:
    answer = target.session().post(
        _GOOGLE_INFO, data={"access_token": secret}, timeout=_TIMEOUT, allow_redirects=False
    )
    if answer.status_code == _DONE:
        return live(f"Google: of {answer.json().get('email', 'a federated identity')}")
    if answer.status_code in (_BAD_REQUEST, _UNAUTHORIZED):
        return dead("Google: invalid token")
    return unknown(f"Google: status {answer.status_code}")


def _token(target: Target, secret: str, _: str) -> Answer:
    return token_state(secret, target.session(), target.holder, time.time())


def _private_jwk(target: Target, secret: str, around: str) -> Answer:
    jwk = _jwk_around(secret, around)
    if jwk is None:
        return unknown("no whole EC or RSA key around it")
    owner = target.key_owner(jwk)
    return live(f"a key of {owner}") if owner else dead("no agent of the directory has this key")


def _jwk_around(secret: str, around: str) -> str | None:
    """Return the thumbprint of the key in whose object a secret member stands."""
    at = around.find(secret)
    began, ended = around.rfind("{", 0, at), around.find("}", at)
    if min(at, began, ended) < 0:
        return None
    text = around[began : ended + 1]
    for form in (text, text.replace('\\"', '"')):
        try:
            return thumbprint(json.loads(form))
        except (ValueError, RecursionError):
            continue
    return None


def _client_secret(target: Target, secret: str, around: str) -> Answer:
    named = _AGENT.search(around)
    if named is None:
        return unknown("no client id beside it")
    form = {"grant_type": "client_credentials", "client_id": named[0], "client_secret": secret}
    answer = target.session().post(
        TOKEN_ENDPOINT, data=form, timeout=_TIMEOUT, allow_redirects=False
    )
    if answer.status_code == _DONE:
        return live(f"the token service gave {named[0]} a token")
    try:
        code = str(answer.json().get("error", ""))[:40]
    except ValueError:
        code = ""
    if code == "invalid_client":
        return dead("token service: invalid_client")
    return unknown(f"token service: {code or answer.status_code}")


def _vault_token(target: Target, secret: str, _: str) -> Answer:
    """Ask the vault as its administrator, so that a token of few uses, or of one, keeps them all.

    An agent's token may not even ask about itself, so that its own answer would say nothing.
    """
    session, administrator = target.session(), {"X-Vault-Token": target.vault_administrator}
    wrapped = session.post(
        _WRAPPING, json={"token": secret}, timeout=_TIMEOUT, allow_redirects=False
    )
    if wrapped.status_code == _DONE:
        return live("vault: it opens once what was wrapped")
    answer = session.post(
        _LOOKUP,
        json={"token": secret},
        headers=administrator,
        timeout=_TIMEOUT,
        allow_redirects=False,
    )
    if answer.status_code == _DONE:
        told = answer.json()["data"]
        return live(f"vault: of {told.get('display_name') or 'somebody'}, {told['ttl']} s more")
    if answer.status_code == _FORBIDDEN and answer.json().get("errors") == ["bad token"]:
        return dead("vault: it knows no such token")
    return unknown(f"vault: status {answer.status_code}")


def _access_key_id(*_: object) -> Answer:
    return unknown("an id alone opens nothing; its secret is tried where it is found")


_CHECKS: Final[Mapping[str, Callable[[Target, str, str], Answer]]] = {
    "aws-access-key-id": _access_key_id,
    "aws-secret-access-key": _aws,
    "gcp-service-account-key": _google_key,
    "gcp-oauth-token": _google_token,
    "iamrange-token": _token,
    "jwt": _token,
    "private-jwk": _private_jwk,
    "client-secret": _client_secret,
    "vault-token": _vault_token,
}
