"""What the API refuses when an OIDC provider is written: pure checks of the document.

The limits are those of the provider's reference and of oracle/wif-rules.md 1.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from iamrange.clouds.gcp.cel import Expression, Failed, compile_condition, compile_expression
from iamrange.clouds.gcp.errors import ApiError, invalid_argument, unknown_member
from iamrange.jose import GCP, Refusal, parse_key_set
from iamrange.jose.gate import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MAPPING_NAMES: Final = frozenset({"assertion"})
CONDITION_NAMES: Final = frozenset({"assertion", "google", "attribute"})
SHARED_ISSUERS: Final = frozenset(
    {
        "https://token.actions.githubusercontent.com",
        "https://gitlab.com",
        "https://app.terraform.io",
    }
)
"""Issuers whose tokens anybody can have: GitHub, GitLab SaaS, Terraform Cloud."""

_ID: Final = re.compile(r"[a-z0-9-]+")
POOL_ID_LENGTH: Final = range(4, 33)
# The reference says of both kinds of id that they "should be 4-32 characters". The cases in
# oracle/wif-rules.md name a provider `idp`, so three are taken for providers.
PROVIDER_ID_LENGTH: Final = range(3, 33)
_KEY: Final = re.compile(r"attribute\.[a-z0-9_]{1,100}")
_MAX_CUSTOM: Final = 50
_MAX_MAPPING: Final = 2048
_MAX_CONDITION: Final = 4096
_MAX_AUDIENCES: Final = 10
_MAX_AUDIENCE: Final = 256
_MAX_DISPLAY: Final = 32
_MAX_DESCRIPTION: Final = 256
_BARRED_JWK: Final = frozenset(
    {"x5c", "x5t", "x5t#S256", "x5u", "d", "p", "q", "dp", "dq", "qi", "k"}
)
_JWK_MEMBERS: Final = ("kty", "kid", "n", "e", "crv", "x", "y")
_OIDC_MEMBERS: Final = frozenset({"issuerUri", "allowedAudiences", "jwksJson"})
_MAX_ISSUER: Final = 2000


def check_id(value: str, what: str, length: range) -> None:
    """Refuse an id of the wrong form.

    Raises:
        ApiError: 400.
    """
    if not _ID.fullmatch(value) or len(value) not in length:
        raise invalid_argument(
            f"Invalid {what} {value!r}: {length[0]} to {length[-1]} characters of [a-z0-9-] are "
            "expected."
        )
    if value.startswith("gcp-"):
        raise invalid_argument(f"Invalid {what} {value!r}: the prefix 'gcp-' is reserved.")


def check_texts(document: Mapping[str, Any]) -> None:
    """Refuse display names and descriptions that are too long.

    Raises:
        ApiError: 400.
    """
    for name, limit in (("displayName", _MAX_DISPLAY), ("description", _MAX_DESCRIPTION)):
        value = document.get(name, "")
        if not isinstance(value, str) or len(value) > limit:
            raise invalid_argument(f"Invalid {name}: at most {limit} characters are allowed.")
    if not isinstance(document.get("disabled", False), bool):
        raise invalid_argument("Invalid value at 'disabled': a boolean is expected.")


def check_oidc(document: Mapping[str, Any]) -> None:
    """Refuse provider settings that the API does not take.

    Raises:
        ApiError: 400, or 501 for kinds of provider that the range does not serve.
    """
    for kind in ("aws", "saml", "x509"):
        if kind in document:
            raise ApiError("UNIMPLEMENTED", f"Providers of kind '{kind}' are not served here.")
    oidc = document.get("oidc")
    if not isinstance(oidc, dict):
        raise invalid_argument("The provider configuration is required: oidc.")
    if unknown := oidc.keys() - _OIDC_MEMBERS:
        raise unknown_member(min(unknown))
    _check_issuer(oidc.get("issuerUri"))
    audiences = oidc.get("allowedAudiences") or []
    if not isinstance(audiences, list) or len(audiences) > _MAX_AUDIENCES:
        raise invalid_argument(
            f"Invalid oidc.allowedAudiences: at most {_MAX_AUDIENCES} audiences are allowed."
        )
    if not all(isinstance(a, str) and 0 < len(a) <= _MAX_AUDIENCE for a in audiences):
        raise invalid_argument(
            f"Invalid oidc.allowedAudiences: each has 1 to {_MAX_AUDIENCE} characters."
        )
    if oidc.get("jwksJson"):
        _check_jwks(oidc["jwksJson"])


def compile_mapping(document: Mapping[str, Any]) -> dict[str, Expression]:
    """Return the checked mapping.

    Raises:
        ApiError: 400.
    """
    mapping = document.get("attributeMapping") or {}
    if not isinstance(mapping, dict) or "google.subject" not in mapping:
        raise invalid_argument("The attribute mapping must map google.subject.")
    custom = [key for key in mapping if key not in ("google.subject", "google.groups")]
    for key in custom:
        if not _KEY.fullmatch(key):
            raise invalid_argument(
                f"Invalid mapped attribute key: {key}. A key is google.subject, google.groups or "
                "attribute.NAME, with NAME of at most 100 characters of [a-z0-9_]."
            )
    if len(custom) > _MAX_CUSTOM:
        raise invalid_argument(f"At most {_MAX_CUSTOM} custom attributes can be mapped.")
    return {key: _mapping_expression(key, text) for key, text in mapping.items()}


def require_claim_on_shared_issuer(
    document: Mapping[str, Any], condition: Expression | None
) -> None:
    """Refuse a provider of an issuer that everybody shares, if no claim is asked for.

    Raises:
        ApiError: 400.
    """
    issuer = str(document["oidc"]["issuerUri"]).rstrip("/")
    if issuer in SHARED_ISSUERS and (condition is None or not condition.reads_a_claim()):
        raise invalid_argument(
            "The attribute condition must reference one of the provider's claims. For more "
            "information, see https://cloud.google.com/iam/docs/"
            "workload-identity-federation-with-deployment-pipelines#conditions"
        )


def compile_attribute_condition(document: Mapping[str, Any]) -> Expression | None:
    """Return the checked condition, or None where there is none.

    Raises:
        ApiError: 400.
    """
    text = document.get("attributeCondition") or ""
    if not isinstance(text, str) or len(text) > _MAX_CONDITION:
        raise invalid_argument(
            f"Invalid attribute condition: at most {_MAX_CONDITION} characters are allowed."
        )
    condition = compile_condition(text, CONDITION_NAMES) if text.strip() else None
    if isinstance(condition, Failed):
        raise invalid_argument(f"Invalid attribute condition: {condition.detail}.")
    return condition


def _mapping_expression(key: str, text: object) -> Expression:
    if not isinstance(text, str) or not text.strip() or len(text) > _MAX_MAPPING:
        raise invalid_argument(
            f"Invalid mapping of {key}: an expression of at most {_MAX_MAPPING} characters is "
            "expected."
        )
    expression = compile_expression(text, MAPPING_NAMES)
    if isinstance(expression, Failed):
        raise invalid_argument(f"Invalid mapping of {key}: {expression.detail}.")
    return expression


def _check_issuer(issuer: object) -> None:
    parts = urlsplit(issuer) if isinstance(issuer, str) else None
    if parts is None or not parts.hostname or len(str(issuer)) > _MAX_ISSUER:
        raise invalid_argument("Invalid OIDC issuer URI.")
    if parts.scheme != "https":
        raise invalid_argument("Invalid OIDC issuer URI. The scheme must be https.")
    if parts.query or parts.fragment or parts.username is not None:
        raise invalid_argument("Invalid OIDC issuer URI.")


def _check_jwks(text: object) -> None:
    """Refuse uploaded keys unless each is a key that can verify a token here."""
    problem = invalid_argument("Input JWK is not in a valid json format.")
    try:
        value = read_json(text.encode()) if isinstance(text, str) else None
    except ValueError:
        raise problem from None
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not keys:
        raise problem
    for key in keys:
        if not isinstance(key, dict) or key.keys() & _BARRED_JWK:
            raise problem
        # what a key says of its use is looked at when a token comes
        bare = {name: key[name] for name in _JWK_MEMBERS if name in key}
        usable = parse_key_set({"keys": [bare]}, GCP)
        if isinstance(usable, Refusal) or not any(one.algorithms for one in usable.keys):
            raise problem
