"""gcp:secretmanager Secret and SecretVersion."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import unordered
from iamrange.engine.gcp_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.properties import has_unknown
from iamrange.engine.resource import (
    Created,
    Naming,
    ProviderError,
    ResourceType,
    Tagging,
    completing,
)

if TYPE_CHECKING:
    from iamrange.engine.gcp_types.session import GcpSession
    from iamrange.engine.resource import Change, Properties

_SETTABLE: Final = ("labels", "annotations", "versionAliases", "expireTime")
_LABELS: Final = Tagging("labels", "effectiveLabels", also=("pulumiLabels",))


def _body(inputs: Properties) -> dict[str, Any]:
    body = {key: inputs[key] for key in _SETTABLE if inputs.get(key)}
    if inputs.get("effectiveLabels"):
        body["labels"] = inputs["effectiveLabels"]
    return body


def _create_secret(session: GcpSession, inputs: Properties) -> Created:
    project = inputs.get("project") or session.project
    body = {**_body(inputs), "replication": _replication_body(inputs["replication"])}
    session.call("POST", f"/v1/projects/{project}/secrets", body, secretId=inputs["secretId"])
    return Created(f"projects/{project}/secrets/{inputs['secretId']}")


def _replication_body(replication: Properties) -> dict[str, Any]:
    managed = replication.get("userManaged")
    if managed:
        replicas = [{"location": replica["location"]} for replica in managed["replicas"]]
        return {"userManaged": {"replicas": replicas}}
    return {"automatic": {}}


@none_if_missing
def _read_secret(session: GcpSession, name: str, _state: Properties) -> Properties:
    live = session.call("GET", f"/v1/{name}")
    managed = live["replication"].get("userManaged")
    parts = name.split("/")
    return {
        "project": parts[1],
        "secretId": parts[3],
        "replication": {"userManaged": managed} if managed else {"auto": {}},
        "annotations": live.get("annotations"),
        "versionAliases": live.get("versionAliases"),
        "expireTime": live.get("expireTime"),
        "name": live["name"],
        "createTime": live["createTime"],
        "effectiveAnnotations": live.get("annotations") or {},
        "effectiveLabels": live.get("labels") or {},
    }


def _update_secret(session: GcpSession, change: Change) -> None:
    mask = change.changed & set(_SETTABLE)
    if "effectiveLabels" in change.changed:
        mask |= {"labels"}
    if mask:
        path = f"/v1/{change.identifier}"
        session.call("PATCH", path, _body(change.new), updateMask=",".join(sorted(mask)))


def _delete_secret(session: GcpSession, name: str, state: Properties) -> None:
    if state.get("deletionProtection"):
        raise ProviderError(f"{name}: deletionProtection is on; switch it off first")
    with missing_is_fine():
        session.call("DELETE", f"/v1/{name}")


def _places(replication: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return where a secret is kept: everywhere, or at these places."""
    managed = replication.get("userManaged") if isinstance(replication, dict) else None
    if managed:
        return unordered([replica.get("location") for replica in managed.get("replicas") or []])
    return "auto"


def _secret_problems(inputs: Properties) -> list[tuple[str, str]]:
    replication = inputs["replication"]
    if has_unknown(replication):
        return []
    if len(replication) != 1:
        return [("replication", "exactly one of auto and userManaged is required")]
    if (replication.get("auto") or {}).get("customerManagedEncryption"):
        reason = "not implemented by the embedded provider"
        return [("replication.auto.customerManagedEncryption", reason)]
    return []


SECRET: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:secretmanager/secret:Secret",  # noqa: S106 - a type token
    inputs=frozenset({"secretId", "project", "replication", "deletionProtection", *_SETTABLE}),
    computed=frozenset(
        {
            "name",
            "createTime",
            "effectiveAnnotations",
            "effectiveLabels",
            "pulumiLabels",
        }
    ),
    volatile=frozenset({"effectiveAnnotations"}),
    force_new=frozenset({"secretId", "project", "replication"}),
    identity=frozenset({"secretId", "project", "replication"}),
    settings=frozenset({"deletionProtection"}),
    filled_in=frozenset({"project"}),
    defaults={"deletionProtection": False},
    canonical={"replication": _places},
    naming=Naming(input="secretId", max_length=255),
    tagging=_LABELS,
    problems=_secret_problems,
    create=_create_secret,
    read=_read_secret,
    update=_update_secret,
    delete=_delete_secret,
)


def _create_version(session: GcpSession, inputs: Properties) -> Created:
    data = str(inputs["secretData"])
    encoded = data if inputs["isSecretDataBase64"] else base64.b64encode(data.encode()).decode()
    body = {"payload": {"data": encoded}}
    made = session.call("POST", f"/v1/{inputs['secret']}:addVersion", body)
    # with the project as the program names it: the API answers with the project's number
    name = f"{inputs['secret']}/versions/{str(made['name']).rpartition('/')[2]}"
    if not inputs["enabled"]:
        with completing(name):
            session.call("POST", f"/v1/{name}:disable", {})
    return Created(name)


@none_if_missing
def _read_version(session: GcpSession, name: str, state: Properties) -> Properties | None:
    live = session.call("GET", f"/v1/{name}")
    if live["state"] == "DESTROYED":
        return None
    secret, _, number = name.partition("/versions/")
    written = str(state.get("secret") or secret)
    same = written.rpartition("/")[2] == secret.rpartition("/")[2]
    found = {
        "secret": written if same else secret,
        "enabled": live["state"] == "ENABLED",
        "name": live["name"],
        "version": number,
        "createTime": live["createTime"],
    }
    if found["enabled"] and "secretData" not in state:
        # an import; otherwise what was written is still there, since no payload ever changes, and
        # whoever provisions need not be allowed to read secrets
        payload = session.call("GET", f"/v1/{name}:access")["payload"].get("data") or ""
        found["secretData"] = base64.b64decode(payload).decode()
    return found


def _update_version(session: GcpSession, change: Change) -> None:
    if "enabled" in change.changed:
        verb = "enable" if change.new["enabled"] else "disable"
        session.call("POST", f"/v1/{change.identifier}:{verb}", {})


def _delete_version(session: GcpSession, name: str, state: Properties) -> None:
    policy = state["deletionPolicy"]
    if policy == "ABANDON":
        return
    with missing_is_fine():
        if session.call("GET", f"/v1/{name}")["state"] != "DESTROYED":
            verb = "disable" if policy == "DISABLE" else "destroy"
            session.call("POST", f"/v1/{name}:{verb}", {})


def _version_problems(inputs: Properties) -> list[tuple[str, str]]:
    return [] if "secretData" in inputs else [("secretData", "required, but missing")]


SECRET_VERSION: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:secretmanager/secretVersion:SecretVersion",  # noqa: S106 - a type token
    inputs=frozenset({"secret", "secretData", "enabled", "isSecretDataBase64", "deletionPolicy"}),
    computed=frozenset({"name", "version", "createTime"}),
    force_new=frozenset({"secret", "secretData", "isSecretDataBase64"}),
    # a version's payload never changes: another payload is another version
    identity=frozenset({"secret", "secretData"}),
    settings=frozenset({"isSecretDataBase64", "deletionPolicy"}),
    secrets=frozenset({"secretData"}),
    defaults={"enabled": True, "isSecretDataBase64": False, "deletionPolicy": "DELETE"},
    problems=_version_problems,
    create=_create_version,
    read=_read_version,
    update=_update_version,
    delete=_delete_version,
)
TYPES: Final = (SECRET, SECRET_VERSION)
