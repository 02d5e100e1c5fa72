"""Invented credentials, one of each rule's kind: where they are planted, a search must find them.

- They are made at random and open nothing. Tests, the bench and decoys plant them.
"""

from __future__ import annotations

import base64
import json
import string
from random import Random
from typing import TYPE_CHECKING, Any, Final

from iamrange.identity.names import ACCESS_TOKEN_TYPE, AUTH_ISSUER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LETTERS: Final = string.ascii_letters + string.digits
_URL: Final = _LETTERS + "-_"
_LOWER: Final = string.ascii_lowercase + string.digits
_HEX: Final = "0123456789abcdef"


def _some(random: Random, size: int, alphabet: str = _LETTERS) -> str:
    """Return random characters with a digit and letters of both cases, where there are such."""
    while True:
        text = "".join(random.choices(alphabet, k=size))
        kinds = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
        if all(set(kind).isdisjoint(alphabet) or set(kind) & set(text) for kind in kinds):
            return text


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _jwt(random: Random, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return f"{_part(header)}.{_part(claims)}.{_some(random, 86, _URL)}"


def _pem(random: Random, kind: str = "PRIVATE KEY") -> str:
    body = _some(random, 184, _LETTERS + "+/")
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def _access_key(random: Random) -> str:
    return "AKIA" + _some(random, 16, string.ascii_uppercase + "234567")


def _jwk(random: Random) -> str:
    x, y, d = (_some(random, 43, _URL) for _ in range(3))
    return json.dumps({"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": d, "alg": "ES256"})


def _service_account(random: Random) -> str:
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": _some(random, 40, "0123456789abcdef"),
    }
    return json.dumps(
        key | {"private_key": _pem(random), "client_email": "a@p.iam.gserviceaccount.com"}
    )


SAMPLES: Final[Mapping[str, Callable[[Random], str]]] = {
    "gcp-service-account-key": _service_account,
    "private-key": lambda r: _pem(
        r, r.choice(["PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    ),
    "private-jwk": _jwk,
    "iamrange-token": lambda r: _jwt(
        r, {"alg": "ES256", "typ": ACCESS_TOKEN_TYPE}, {"iss": AUTH_ISSUER, "sub": "someone"}
    ),
    "jwt": lambda r: _jwt(r, {"alg": "RS256", "typ": "JWT"}, {"sub": _some(r, 12)}),
    "aws-secret-access-key": lambda r: f"aws_secret_access_key = {_some(r, 40, _LETTERS + '+/')}",
    "aws-access-key-id": _access_key,
    "aws-session-token": lambda r: f"IQoJb3JpZ2luX2Vj{_some(r, 400, _LETTERS + '+/')}==",
    "gcp-refresh-token": lambda r: f"1//0{_some(r, 99, _URL)}",
    "gcp-oauth-token": lambda r: f"ya29.c.{_some(r, 128, _URL)}",
    "gcp-api-key": lambda r: f"AIza{_some(r, 35, _URL)}",
    "gcp-client-secret": lambda r: f"GOCSPX-{_some(r, 28, _URL)}",
    "vault-token": lambda r: r.choice(
        [
            f"hvs.{_some(r, 90, _URL)}",
            f"s.{_some(r, 24)}",
            f"s.CAES{_some(r, 86, _URL)}",
            f"b.AAAAAQ{_some(r, 140, _URL)}",
        ]
    ),
    "github-fine-grained-token": lambda r: f"github_pat_{_some(r, 22)}_{_some(r, 59)}",
    "anthropic-api-key": lambda r: f"sk-ant-api03-{_some(r, 93, _URL)}AA",
    "openai-project-key": lambda r: f"sk-proj-{_some(r, 74, _URL)}",
    "hugging-face-token": lambda r: f"hf_{_some(r, 34, string.ascii_letters)}",
    "openrouter-key": lambda r: f"sk-or-v1-{_some(r, 64, _HEX)}",
    "groq-key": lambda r: f"gsk_{_some(r, 52)}",
    "xai-key": lambda r: f"xai-{_some(r, 80)}",
    "perplexity-key": lambda r: f"pplx-{_some(r, 48)}",
    "replicate-token": lambda r: f"r8_{_some(r, 37)}",
    "langsmith-key": lambda r: f"lsv2_pt_{_some(r, 32, _HEX)}_{_some(r, 10, _HEX)}",
    "tavily-key": lambda r: f"tvly-dev-{_some(r, 32)}",
    "pinecone-key": lambda r: f"pcsk_{_some(r, 6)}_{_some(r, 63)}",
    "notion-token": lambda r: f"ntn_{_some(r, 46)}",
    "linear-key": lambda r: f"lin_api_{_some(r, 40)}",
    "figma-token": lambda r: f"figd_{_some(r, 40, _URL)}",
    "digitalocean-token": lambda r: f"dop_v1_{_some(r, 64, _HEX)}",
    "pulumi-token": lambda r: f"pul-{_some(r, 40, _HEX)}",
    "docker-token": lambda r: f"dckr_pat_{_some(r, 27, _URL)}",
    "databricks-token": lambda r: f"dapi{_some(r, 32, _HEX)}",
    "grafana-token": lambda r: f"glsa_{_some(r, 32)}_{_some(r, 8, _HEX)}",
    "shopify-token": lambda r: f"shpat_{_some(r, 32, _HEX)}",
    "atlassian-token": lambda r: f"ATATT3xFfGF0{_some(r, 180, _URL)}",
    "supabase-token": lambda r: f"sbp_{_some(r, 40, _HEX)}",
    "postman-key": lambda r: f"PMAK-{_some(r, 24, _HEX)}-{_some(r, 34, _HEX)}",
    "slack-app-token": lambda r: (
        f"xapp-1-A{_some(r, 10, string.digits)}-{_some(r, 13, string.digits)}-{_some(r, 64, _HEX)}"
    ),
    "age-key": lambda r: f"AGE-SECRET-KEY-1{_some(r, 58, 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L')}",
    "github-token": lambda r: f"ghp_{_some(r, 36)}",
    "gitlab-token": lambda r: f"glpat-{_some(r, 20)}",
    "slack-token": lambda r: (
        f"xoxb-{_some(r, 12, string.digits)}-{_some(r, 12, string.digits)}-{_some(r, 24, _LOWER)}"
    ),
    "openai-api-key": lambda r: f"sk-{_some(r, 20)}T3BlbkFJ{_some(r, 20)}",
    "pypi-token": lambda r: f"pypi-AgEIcHlwaS5vcmc{_some(r, 120, _URL)}",
    "npm-token": lambda r: f"//registry.invalid/:_authToken=npm_{_some(r, 36)}",
    "stripe-key": lambda r: f"sk_live_{_some(r, 24)}",
    "sendgrid-key": lambda r: f"SG.{_some(r, 22, _URL)}.{_some(r, 43, _URL)}",
    "square-oauth-secret": lambda r: f"sq0csp-{_some(r, 43)}",
    "azure-storage-key": lambda r: f"AccountName=a;AccountKey={_some(r, 86, _LETTERS + '+/')}==",
    "mailchimp-key": lambda r: f"{_some(r, 32, _LOWER)}-us12",
    "discord-bot-token": lambda r: (
        f"discord {r.choice('MNO')}{_some(r, 24)}.{_some(r, 6)}.{_some(r, 27)}"
    ),
    "telegram-bot-token": lambda r: f"telegram {_some(r, 9, string.digits)}:{_some(r, 35, _URL)}",
    "twilio-key": lambda r: f"twilio SK{_some(r, 32, '0123456789abcdef')}",
    "artifactory-key": lambda r: f"artifactory AKC{_some(r, 60)} ",
    "database-url": lambda r: f"postgresql+psycopg://app:{_some(r, 16)}@db.internal:5432/main",
    "basic-auth-url": lambda r: f"https://robot:{_some(r, 16)}@git.internal/repository.git",
    "authorization-header": lambda r: f"Authorization: Bearer {_some(r, 40)}",
    "client-secret": lambda r: f'client_secret = "{_some(r, 32)}"',
    "named-secret": lambda r: f'db_password = "{_some(r, 20)}"',
}
"""By a rule's id: text that has one such credential in it."""


def invented(rule: str, seed: int) -> str:
    """Return the text of one invented credential, the same for the same seed."""
    return SAMPLES[rule](Random(seed))  # noqa: S311 - it opens nothing, and is to be made again
