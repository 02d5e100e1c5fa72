"""What STS reads out of a web identity token's claims: condition keys, session tags, and no more.

- Only the claims named here are condition keys; any other claim is invisible to a policy.
- Pure: claims in, values out. Whether the claims are verified is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import ContextValues

BUILT_IN: Final[Mapping[str, str]] = {
    "https://accounts.google.com": "accounts.google.com",
    "accounts.google.com": "accounts.google.com",
    "https://cognito-identity.amazonaws.com": "cognito-identity.amazonaws.com",
}
"""Issuers that every account trusts without a provider of its own, by `iss`."""

_GOOGLE: Final = "accounts.google.com"

# Condition keys since 2026-02 (several public write-ups of AWS's announcement). OCI's are left
# out: its issuers are per tenancy and their names were not found.
_GITHUB_CLAIMS: Final = (
    "actor",
    "actor_id",
    "job_workflow_ref",
    "repository",
    "repository_id",
    "workflow",
    "ref",
    "environment",
    "enterprise_id",
)
_ISSUER_CLAIMS: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = (
    (re.compile(r"token\.actions\.githubusercontent\.com(/.*)?"), _GITHUB_CLAIMS),
    (re.compile(r"accounts\.google\.com"), ("email", "google/organization_number")),
    (re.compile(r"oidc\.circleci\.com/org/[^/]+"), ("oidc.circleci.com/project-id",)),
)

_TAGS: Final = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY: Final = "https://aws.amazon.com/source_identity"


class ClaimError(ValueError):
    """A claim that STS acts on has not the form that it must have."""


@dataclass(frozen=True, slots=True)
class ClaimedTags:
    """Session tags that the issuer put into the token."""

    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_keys: tuple[str, ...] = ()


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what counts as the token's audience: `azp` takes the place of `aud`."""
    azp = claims.get("azp")
    return (azp,) if isinstance(azp, str) else _texts(claims.get("aud"))


def condition_keys(issuer: str, claims: Mapping[str, Any]) -> ContextValues:
    """Return the keys of a trust policy's conditions; `issuer` has no scheme."""
    keys = dict(session_keys(issuer, claims))
    if issuer == _GOOGLE and isinstance(claims.get("azp"), str):
        keys[f"{issuer}:oaud"] = _one_or_many(_texts(claims.get("aud")))
    for pattern, names in _ISSUER_CLAIMS:
        if pattern.fullmatch(issuer):
            keys |= {
                f"{issuer}:{name}": claims[name]
                for name in names
                if isinstance(claims.get(name), str)
            }
    return keys


def session_keys(issuer: str, claims: Mapping[str, Any]) -> ContextValues:
    """Return the keys that stay with the session after the role was assumed."""
    keys: dict[str, str | Sequence[str]] = {}
    if audience := audiences(claims):
        keys[f"{issuer}:aud"] = _one_or_many(audience)
    if isinstance(claims.get("sub"), str):
        keys[f"{issuer}:sub"] = claims["sub"]
    if methods := _texts(claims.get("amr")):
        keys[f"{issuer}:amr"] = methods
    return keys


def claimed_tags(claims: Mapping[str, Any]) -> ClaimedTags:
    """Read session tags, nested under one claim or flattened into several.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html

    Raises:
        ClaimError: a tag has not exactly one text as its value, or the claim is otherwise amiss.
    """
    nested = claims.get(_TAGS, {})
    if not isinstance(nested, Mapping):
        raise ClaimError("the tags claim is not an object")
    principal_tags = nested.get("principal_tags", {})
    if not isinstance(principal_tags, Mapping):
        raise ClaimError("principal_tags is not an object")
    prefix = f"{_TAGS}/principal_tags/"
    given = {
        **principal_tags,
        **{n.removeprefix(prefix): v for n, v in claims.items() if n.startswith(prefix)},
    }
    transitive = nested.get("transitive_tag_keys", claims.get(f"{_TAGS}/transitive_tag_keys", []))
    keys = _texts(transitive)
    if transitive and len(keys) != len(transitive if isinstance(transitive, list) else [0]):
        raise ClaimError("transitive_tag_keys is not a list of texts")
    return ClaimedTags({name: _tag_value(value) for name, value in given.items()}, keys)


def claimed_source_identity(claims: Mapping[str, Any]) -> str | None:
    """Read the source identity that the issuer set, if any.

    Raises:
        ClaimError: it is not a text of the form that AssumeRole takes.
    """
    value = claims.get(_SOURCE_IDENTITY)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[\w+=,.@-]{2,256}", value, re.ASCII):
        raise ClaimError("the source identity claim is malformed")
    return value


def _tag_value(value: object) -> str:
    match value:
        case [str(text)] | str(text):
            return text
        case _:
            raise ClaimError("a session tag must have exactly one value")


def _texts(value: object) -> tuple[str, ...]:
    """Return a text, or the texts of a list, as a tuple; anything else is none."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return ()


def _one_or_many(values: tuple[str, ...]) -> str | tuple[str, ...]:
    """Return a single value as itself: `aud` is a single-valued key, even from a list of one."""
    return values[0] if len(values) == 1 else values
