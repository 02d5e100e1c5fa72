"""gcp:iam WorkloadIdentityPool and WorkloadIdentityPoolProvider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import trimmed, unordered
from iamrange.engine.gcp_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.gcp_types.session import ALREADY_EXISTS, GcpError, GcpSession
from iamrange.engine.resource import Created, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties

_DELETED: Final = "DELETED"
_POOL_FIELDS: Final = ("displayName", "description", "disabled")
_PROVIDER_FIELDS: Final = (*_POOL_FIELDS, "attributeMapping", "attributeCondition", "oidc")


def _pool_path(session: GcpSession, inputs: Properties) -> str:
    project = inputs.get("project") or session.project
    base = f"projects/{project}/locations/global/workloadIdentityPools"
    # a program may name the pool by its id or by its full name
    return f"{base}/{inputs['workloadIdentityPoolId'].rpartition('/')[2]}"


def _body(inputs: Properties, fields: tuple[str, ...]) -> dict[str, Any]:
    return {key: inputs[key] for key in fields if inputs.get(key) is not None}


def _make(session: GcpSession, path: str, body: dict[str, Any], query: str) -> None:
    """Create, or bring back: a deleted pool or provider keeps its name for 30 days."""
    collection, _, identifier = path.rpartition("/")
    try:
        session.finish("POST", f"/v1/{collection}", body, **{query: identifier})
    except GcpError as error:
        if error.status != ALREADY_EXISTS:
            raise
        if session.call("GET", f"/v1/{path}").get("state") != _DELETED:
            raise
        session.finish("POST", f"/v1/{path}:undelete", {})
        fields = _PROVIDER_FIELDS if "/providers/" in path else _POOL_FIELDS
        session.finish("PATCH", f"/v1/{path}", body, updateMask=",".join(fields))


def _create_pool(session: GcpSession, inputs: Properties) -> Created:
    path = _pool_path(session, inputs)
    _make(session, path, _body(inputs, _POOL_FIELDS), "workloadIdentityPoolId")
    return Created(path)


@none_if_missing
def _read_pool(session: GcpSession, path: str, _state: Properties) -> Properties | None:
    live = session.call("GET", f"/v1/{path}")
    if live.get("state") == _DELETED:
        return None
    parts = path.split("/")
    return {
        "project": parts[1],
        "workloadIdentityPoolId": parts[5],
        "displayName": live.get("displayName"),
        "description": live.get("description"),
        "disabled": live.get("disabled", False),
        "name": live["name"],
        "state": live.get("state"),
    }


def _update_pool(session: GcpSession, change: Change) -> None:
    mask = sorted(change.changed & set(_POOL_FIELDS))
    if mask:
        body = _body(change.new, tuple(mask))
        session.finish("PATCH", f"/v1/{change.identifier}", body, updateMask=",".join(mask))


def _delete(session: GcpSession, path: str, _state: Properties) -> None:
    with missing_is_fine():
        if session.call("GET", f"/v1/{path}").get("state") != _DELETED:
            session.finish("DELETE", f"/v1/{path}")


POOL: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:iam/workloadIdentityPool:WorkloadIdentityPool",  # noqa: S106 - a type token
    inputs=frozenset({"workloadIdentityPoolId", "project", *_POOL_FIELDS}),
    computed=frozenset({"name", "state"}),
    force_new=frozenset({"workloadIdentityPoolId", "project"}),
    identity=frozenset({"workloadIdentityPoolId", "project"}),
    filled_in=frozenset({"project"}),
    defaults={"displayName": "", "description": "", "disabled": False},
    create=_create_pool,
    read=_read_pool,
    update=_update_pool,
    delete=_delete,
)


def _create_provider(session: GcpSession, inputs: Properties) -> Created:
    pool = _pool_path(session, inputs)
    path = f"{pool}/providers/{inputs['workloadIdentityPoolProviderId']}"
    _make(session, path, _body(inputs, _PROVIDER_FIELDS), "workloadIdentityPoolProviderId")
    return Created(path)


@none_if_missing
def _read_provider(session: GcpSession, path: str, state: Properties) -> Properties | None:
    live = session.call("GET", f"/v1/{path}")
    parts = path.split("/")
    pool = str(state.get("workloadIdentityPoolId") or parts[5])
    if live.get("state") == _DELETED:
        return None
    return {
        "project": parts[1],
        "workloadIdentityPoolId": pool if pool.rpartition("/")[2] == parts[5] else parts[5],
        "workloadIdentityPoolProviderId": parts[7],
        "displayName": live.get("displayName"),
        "description": live.get("description"),
        "disabled": live.get("disabled", False),
        "attributeMapping": live.get("attributeMapping"),
        "attributeCondition": live.get("attributeCondition"),
        "oidc": live.get("oidc"),
        "name": live["name"],
        "state": live.get("state"),
    }


def _update_provider(session: GcpSession, change: Change) -> None:
    mask = sorted(change.changed & set(_PROVIDER_FIELDS))
    if mask:
        body = _body(change.new, tuple(mask))
        session.finish("PATCH", f"/v1/{change.identifier}", body, updateMask=",".join(mask))


def _oidc(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return what an OIDC block means: the order of its audiences is nothing."""
    found = trimmed(value)
    if isinstance(found, dict) and "allowedAudiences" in found:
        found["allowedAudiences"] = unordered(found["allowedAudiences"])
    return found


def _provider_problems(inputs: Properties) -> list[tuple[str, str]]:
    if "oidc" not in inputs:
        return [("oidc", "required, but missing: no other kind of provider is implemented")]
    return []


PROVIDER: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "workloadIdentityPoolId",
            "workloadIdentityPoolProviderId",
            "project",
            *_PROVIDER_FIELDS,
        }
    ),
    computed=frozenset({"name", "state"}),
    force_new=frozenset({"workloadIdentityPoolId", "workloadIdentityPoolProviderId", "project"}),
    identity=frozenset({"workloadIdentityPoolId", "workloadIdentityPoolProviderId", "project"}),
    filled_in=frozenset({"project"}),
    defaults={"displayName": "", "description": "", "disabled": False, "attributeCondition": ""},
    canonical={"oidc": _oidc},
    problems=_provider_problems,
    create=_create_provider,
    read=_read_provider,
    update=_update_provider,
    delete=_delete,
)
TYPES: Final = (POOL, PROVIDER)
