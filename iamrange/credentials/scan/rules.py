"""The rules of the secret scanner, declared once: what it finds, in order of precedence. Pure.

- Ours are the range's own credentials and those that an agent holds; the formats of many vendors
  are detect-secrets's (`rules_adopted`); a named value that looks random comes last.
- Where two rules see the same characters, the first one has them.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final
from urllib.parse import unquote

from iamrange.credentials.scan.rules_adopted import ADOPTED
from iamrange.credentials.scan.rules_named import NAMED
from iamrange.credentials.scan.rules_types import (
    BETWEEN,
    RANDOM_BASE64,
    Level,
    SecretRule,
    by_pattern,
    entropy,
    mixed_case,
    random_base64,
    random_looking,
)
from iamrange.credentials.scan.rules_vendors import BY_PREFIX
from iamrange.identity.names import AUTH_ISSUER, ISSUER

_NEAR: Final = 4000
_RANDOM_WORD: Final = 3.5
_KEY_BODY: Final = r"""(?P<secret>[A-Za-z0-9+/=\s\\"',>#*;|&]{64,16384})"""
_PEM: Final = (
    r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:\s{0,4}[A-Za-z-]{1,20}: [^\n]{1,80}\n){0,4}" + _KEY_BODY
)
_PEM_MARGIN: Final = re.compile(r"[ \t]*(?:[>#*;|+]|//)[ \t]?")
"""What a comment, a quotation or a diff puts before each line."""

_PEM_JOINT: Final = re.compile(r"[\"']\s*\+|&#(?:1[03]|x0?[aAdD]);")
"""What code puts between two lines, and XML for a line's end."""

_PEM_STEP: Final = re.compile(r"\\[nrt]|[^A-Za-z0-9+/]")
_LEAST_KEY: Final = 40
_JWT: Final = (
    r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
    r"(?P<secret>eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,16000}\.[A-Za-z0-9_-]{20,2000})"
)
_TEMPORARY: Final = (r"(?P<secret>(?:AKIA|ASIA)[A-Z2-7]{16})(?![A-Za-z0-9])",)
_AFTER_ID: Final = (
    r"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])[\s\S]{1,160}?(?<![A-Za-z0-9/+=])"
    r"(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
_NAMED_AWS: Final = (
    r"(?i:secret_?-?access_?-?key|aws_?-?secret_?-?key|aws_?-?secret)"
    + BETWEEN
    + r"(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)


def pem_body(text: str) -> str:
    """Return what a PEM's lines say, however they are written down."""
    lines = text.split("\n")
    rest = [line for line in lines[1:] if line.strip()]
    if rest and all(_PEM_MARGIN.match(line) for line in rest):
        lines[1:] = [_PEM_MARGIN.sub("", line, count=1) for line in rest]
    return _PEM_STEP.sub("", _PEM_JOINT.sub("", "\n".join(lines)))


def _a_key(match: re.Match[str]) -> bool:
    body = pem_body(match["secret"])
    return len(body) >= _LEAST_KEY and entropy(body) >= RANDOM_BASE64


def _service_account(match: re.Match[str]) -> bool:
    around = match.string[max(0, match.start() - _NEAR) : match.end() + _NEAR]
    return "service_account" in around and _a_key(match)


def _in_a_jwk(match: re.Match[str]) -> bool:
    around = match.string[max(0, match.start() - _NEAR) : match.end() + _NEAR]
    return (
        re.search(r"""kty\\{0,3}["']?\s*:\s*\\{0,3}["']?(?:EC|RSA|OKP|oct)\b""", around) is not None
    )


def jwt_part(part: str) -> dict[str, Any]:
    """Return a part of a JWT as what it says; nothing that is not a JSON object."""
    try:
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _signed(match: re.Match[str]) -> bool:
    return isinstance(jwt_part(match["secret"].split(".")[0]).get("alg"), str)


def _ours(match: re.Match[str]) -> bool:
    _, claims, _ = match["secret"].split(".")
    return _signed(match) and jwt_part(claims).get("iss") in (AUTH_ISSUER, ISSUER)


def _random(match: re.Match[str]) -> bool:
    return random_looking(match["secret"], _RANDOM_WORD)


def _aws_secret(match: re.Match[str]) -> bool:
    return random_base64(match["secret"])


OURS: Final = (
    SecretRule(
        id="gcp-service-account-key",
        summary="A Google service account's key file: it does not expire.",
        keywords=("private_key",),
        find=by_pattern(r"private_key" + BETWEEN + _PEM, accepts=_service_account),
        canonical=pem_body,
        source="https://cloud.google.com/iam/docs/keys-create-delete",
    ),
    SecretRule(
        id="private-key",
        summary="A private key in PEM (RFC 7468), or an OpenSSH or PGP one.",
        keywords=("-----begin ",),
        find=by_pattern(_PEM, accepts=_a_key),
        canonical=pem_body,
        source="RFC 7468",
    ),
    SecretRule(
        id="private-jwk",
        summary="A private or symmetric JSON Web Key: an agent's key, or one for DPoP proofs.",
        keywords=('"d"', '"d\\', "'d'", '"k"', '"k\\', "'k'", "d: '", 'd: "', "k: '", 'k: "'),
        find=by_pattern(
            r"""(?<![A-Za-z0-9_.-])["']?[dk]\\{0,3}["']?\s{0,8}:\s{0,8}\\{0,3}["'](?P<secret>[A-Za-z0-9_-]{20,1400})""",
            accepts=lambda match: _in_a_jwk(match) and _random(match),
        ),
        source="RFC 7517, RFC 7518 section 6",
        needs="kty",
        reach=1024,
    ),
    SecretRule(
        id="iamrange-token",
        summary="A token that one of the range's issuers signed.",
        keywords=("eyj",),
        find=by_pattern(_JWT, accepts=_ours),
        source="RFC 9068",
        hint=4,
    ),
    SecretRule(
        id="jwt",
        summary="A signed JSON Web Token.",
        keywords=("eyj",),
        find=by_pattern(_JWT, accepts=_signed),
        source="RFC 7519",
        hint=4,
    ),
    SecretRule(
        id="aws-secret-access-key",
        summary="An AWS secret access key, by its name or beside the id of its key.",
        keywords=(
            "akia",
            "asia",
            "secretaccesskey",
            "secret_access_key",
            "secret-access-key",
            "aws_secret",
            "awssecret",
            "aws-secret",
        ),
        find=by_pattern(_NAMED_AWS, _AFTER_ID, accepts=_aws_secret),
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html",
    ),
    SecretRule(
        id="aws-access-key-id",
        summary="The id of an AWS access key: of use with its secret, and it names the account.",
        keywords=("akia", "asia"),
        find=by_pattern(
            r"(?<![A-Za-z0-9])" + _TEMPORARY[0],
            accepts=lambda match: random_looking(match["secret"], 2.8),
        ),
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
        level=Level.WARNING,
        hint=4,
    ),
    SecretRule(
        id="aws-session-token",
        summary="The session token of a temporary AWS access key, of use with the key.",
        keywords=("iqojb3jpz2lu", "fwogzxivyxdz", "fqogzxivyxdz"),
        find=by_pattern(
            # base64 of what all begin with: lengths, and the words "origin" or "aws"
            r"(?<![A-Za-z0-9+/])(?P<secret>(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)"
            r"(?:[A-Za-z0-9+/=]|%2[BbFf]|%3[Dd]){80,4096})",
            accepts=_random,
        ),
        canonical=lambda text: unquote(text).rstrip("="),
        source="https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_use-resources.html",
        reach=4096,
        hint=4,
    ),
    SecretRule(
        id="gcp-refresh-token",
        summary="A Google refresh token: it gives access tokens until it is withdrawn.",
        keywords=("1//0",),
        find=by_pattern(
            r"(?<![A-Za-z0-9/_-])(?P<secret>1//0[A-Za-z0-9_-]{40,160})(?![A-Za-z0-9_-])",
            accepts=_random,
        ),
        source="https://developers.google.com/identity/protocols/oauth2",
        hint=4,
    ),
    SecretRule(
        id="gcp-oauth-token",
        summary="A Google access token.",
        keywords=("ya29.",),
        find=by_pattern(r"(?P<secret>ya29\.[A-Za-z0-9_.-]{20,2048})", accepts=_random),
        source="https://cloud.google.com/docs/authentication/token-types",
        reach=2048,
        hint=4,
    ),
    SecretRule(
        id="gcp-api-key",
        summary="A Google API key.",
        keywords=("aiza",),
        find=by_pattern(r"(?P<secret>AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])", accepts=_random),
        source="https://cloud.google.com/docs/authentication/api-keys",
        hint=4,
    ),
    SecretRule(
        id="gcp-client-secret",
        summary="A Google OAuth client secret.",
        keywords=("gocspx-",),
        find=by_pattern(r"(?P<secret>GOCSPX-[A-Za-z0-9_-]{28})(?![A-Za-z0-9_-])", accepts=_random),
        source="https://developers.google.com/identity/protocols/oauth2",
        hint=4,
    ),
    SecretRule(
        id="vault-token",
        summary="A token of OpenBao or HashiCorp Vault.",
        keywords=("hvs.", "hvb.", "hvr.", "s.", "b.aaaaaq", "r.aaaaaq"),
        reach=64,
        find=by_pattern(
            r"(?<![A-Za-z0-9_.])(?P<secret>hv[sbr]\.[A-Za-z0-9_-]{24,512}"
            # signed ones, batch and recovery tokens: the same under OpenBao's names
            r"|(?<!-)(?:s\.CAES[A-Za-z0-9_-]{80,512}|[br]\.AAAAAQ[A-Za-z0-9_-]{60,512}"
            # a namespace's id may follow
            r"|(?<!/)s\.[A-Za-z0-9]{24}(?:\.[A-Za-z0-9]{5,8})?(?![A-Za-z0-9_(\[-])))",
            accepts=lambda match: _random(match) and mixed_case(match["secret"]),
        ),
        source="https://openbao.org/docs/concepts/tokens/",
        hint=4,
    ),
    SecretRule(
        id="github-fine-grained-token",
        summary="A GitHub fine-grained personal access token.",
        keywords=("github_pat_",),
        find=by_pattern(r"(?P<secret>github_pat_[A-Za-z0-9_]{60,90})", accepts=_random),
        source="https://docs.github.com/en/authentication/keeping-your-account-and-data-secure",
        hint=4,
    ),
    SecretRule(
        id="anthropic-api-key",
        summary="An Anthropic API key.",
        keywords=("sk-ant-",),
        find=by_pattern(
            r"(?P<secret>sk-ant-[a-z]{3,8}\d\d-[A-Za-z0-9_-]{20,200})", accepts=_random
        ),
        source="https://docs.anthropic.com/en/api/overview",
        hint=4,
    ),
    SecretRule(
        id="openai-project-key",
        summary="An OpenAI project or service-account key.",
        keywords=("sk-proj-", "sk-svcacct-", "sk-admin-"),
        find=by_pattern(
            r"(?P<secret>sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,200})", accepts=_random
        ),
        source="https://platform.openai.com/docs/api-reference/authentication",
        hint=4,
    ),
    SecretRule(
        id="npm-token",
        summary="An npm access token.",
        keywords=("npm_", ":_authtoken="),
        find=by_pattern(
            r"(?<![A-Za-z0-9_])(?P<secret>npm_[A-Za-z0-9]{36})(?![A-Za-z0-9_])",
            r":_authToken=\s{0,4}(?P<secret>[A-Fa-f0-9-]{36})(?![A-Fa-f0-9-])",
            accepts=_random,
        ),
        source="https://docs.npmjs.com/about-access-tokens",
    ),
    SecretRule(
        id="hugging-face-token",
        summary="A Hugging Face user access token.",
        keywords=("hf_",),
        find=by_pattern(
            r"(?<![A-Za-z0-9_])(?P<secret>hf_[A-Za-z0-9]{34})(?![A-Za-z0-9_])",
            # most have no digit at all
            accepts=lambda match: entropy(match["secret"]) >= _RANDOM_WORD,
        ),
        source="https://huggingface.co/docs/hub/security-tokens",
    ),
)
"""What an agent holds, most specific first."""

RULES: Final = (*OURS, *BY_PREFIX, *ADOPTED, *NAMED)
"""All rules, in order of precedence."""

RULE_OF: Final = {rule.id: rule for rule in RULES}
if len(RULE_OF) != len(RULES):
    raise ValueError("two rules of the secret scanner have one id")
