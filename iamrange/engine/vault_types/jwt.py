"""vault:jwt AuthBackend and AuthBackendRole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import unordered
from iamrange.engine.resource import Created, ResourceType, completing
from iamrange.engine.vault_types.fields import (
    body_of,
    defaults_of,
    delete,
    live_of,
    refuse_existing,
)
from iamrange.engine.vault_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.vault_types.mounts import trimmed

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties
    from iamrange.engine.vault_types.session import VaultSession

_CONFIG: Final[dict[str, tuple[str, Any]]] = {
    "oidcDiscoveryUrl": ("oidc_discovery_url", ""),
    "oidcDiscoveryCaPem": ("oidc_discovery_ca_pem", ""),
    "jwksUrl": ("jwks_url", ""),
    "jwksCaPem": ("jwks_ca_pem", ""),
    "boundIssuer": ("bound_issuer", ""),
    "defaultRole": ("default_role", ""),
    "jwtSupportedAlgs": ("jwt_supported_algs", []),
    "jwtValidationPubkeys": ("jwt_validation_pubkeys", []),
}
"""A backend's configuration: input -> (the vault's own name, its default)."""

_ROLE: Final[dict[str, tuple[str, Any]]] = {
    "roleType": ("role_type", "oidc"),
    "userClaim": ("user_claim", ""),
    "boundAudiences": ("bound_audiences", []),
    "boundSubject": ("bound_subject", ""),
    "boundClaims": ("bound_claims", {}),
    "boundClaimsType": ("bound_claims_type", "string"),
    "clockSkewLeeway": ("clock_skew_leeway", 0),
    "expirationLeeway": ("expiration_leeway", 0),
    "notBeforeLeeway": ("not_before_leeway", 0),
    "tokenTtl": ("token_ttl", 0),
    "tokenMaxTtl": ("token_max_ttl", 0),
    "tokenExplicitMaxTtl": ("token_explicit_max_ttl", 0),
    "tokenPeriod": ("token_period", 0),
    "tokenNumUses": ("token_num_uses", 0),
    "tokenType": ("token_type", "default"),
    "tokenPolicies": ("token_policies", []),
    "tokenNoDefaultPolicy": ("token_no_default_policy", False),
}
"""A role: input -> (the vault's own name, its default). Each write names them all."""


def _create_backend(session: VaultSession, inputs: Properties) -> Created:
    path = trimmed(inputs["path"])
    body = {"type": inputs["type"], "description": inputs["description"]}
    session.call("POST", f"sys/auth/{path}", body)
    with completing(path):
        session.call("POST", f"auth/{path}/config", body_of(_CONFIG, inputs))
    return Created(path)


@none_if_missing
def _read_backend(session: VaultSession, path: str, _state: Properties) -> Properties:
    mount = session.call("GET", f"sys/auth/{path}")
    config = session.call("GET", f"auth/{path}/config")["data"]
    return {
        "path": path,
        "type": mount["data"]["type"],
        "description": mount["data"]["description"],
        "accessor": mount["data"]["accessor"],
        **live_of(_CONFIG, config),
    }


def _update_backend(session: VaultSession, change: Change) -> None:
    path = change.identifier
    if "description" in change.changed:
        body = {"description": change.new["description"]}
        session.call("POST", f"sys/auth/{path}/tune", body)
    if change.changed & _CONFIG.keys():
        session.call("POST", f"auth/{path}/config", body_of(_CONFIG, change.new))


def _delete_backend(session: VaultSession, path: str, _state: Properties) -> None:
    with missing_is_fine():
        session.call("DELETE", f"sys/auth/{path}")


BACKEND: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:jwt/authBackend:AuthBackend",  # noqa: S106 - a type token
    inputs=frozenset({"path", "type", "description", *_CONFIG}),
    computed=frozenset({"accessor"}),
    force_new=frozenset({"path", "type"}),
    identity=frozenset({"path", "type"}),
    defaults={"path": "jwt", "type": "jwt", "description": "", **defaults_of(_CONFIG)},
    canonical={
        "path": trimmed,
        "jwtSupportedAlgs": unordered,
        "jwtValidationPubkeys": unordered,
    },
    singleton=True,
    create=_create_backend,
    read=_read_backend,
    update=_update_backend,
    delete=_delete_backend,
)


def _create_role(session: VaultSession, inputs: Properties) -> Created:
    identifier = f"auth/{trimmed(inputs['backend'])}/role/{inputs['roleName']}"
    refuse_existing(session, identifier)
    session.call("POST", identifier, body_of(_ROLE, inputs))
    return Created(identifier)


@none_if_missing
def _read_role(session: VaultSession, identifier: str, _state: Properties) -> Properties:
    live = session.call("GET", identifier)["data"]
    backend, _, name = identifier.removeprefix("auth/").partition("/role/")
    return {"backend": backend, "roleName": name, **live_of(_ROLE, live)}


def _update_role(session: VaultSession, change: Change) -> None:
    session.call("POST", change.identifier, body_of(_ROLE, change.new))


def _role_problems(inputs: Properties) -> list[tuple[str, str]]:
    bound = ("boundAudiences", "boundSubject", "boundClaims")
    if inputs.get("roleType") == "jwt" and not any(inputs.get(name) for name in bound):
        return [("boundAudiences", f"a role of type jwt needs one of {', '.join(bound)}")]
    return []


def _values(claims: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return bound claims by the values that each may have: one may stand without its list."""
    if not isinstance(claims, dict):
        return claims
    return {
        name: unordered(value if isinstance(value, list) else str(value).split(","))
        for name, value in claims.items()
    }


ROLE: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:jwt/authBackendRole:AuthBackendRole",  # noqa: S106 - a type token
    inputs=frozenset({"backend", "roleName", *_ROLE}),
    force_new=frozenset({"backend", "roleName"}),
    identity=frozenset({"backend", "roleName"}),
    defaults={"backend": "jwt", **defaults_of(_ROLE)},
    canonical={
        "backend": trimmed,
        "boundAudiences": unordered,
        "boundClaims": _values,
        "tokenPolicies": unordered,
    },
    singleton=True,
    problems=_role_problems,
    create=_create_role,
    read=_read_role,
    update=_update_role,
    delete=delete,
)
TYPES: Final = (BACKEND, ROLE)
