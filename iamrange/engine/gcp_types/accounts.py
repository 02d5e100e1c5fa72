"""gcp:serviceaccount Account and Key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.engine.gcp_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.resource import Created, Naming, ResourceType, completing

if TYPE_CHECKING:
    from iamrange.engine.gcp_types.session import GcpSession
    from iamrange.engine.resource import Change, Properties

_TEXTS: Final = ("displayName", "description")


def _create_account(session: GcpSession, inputs: Properties) -> Created:
    project = inputs.get("project") or session.project
    texts = {key: inputs[key] for key in _TEXTS if inputs.get(key)}
    made = session.call(
        "POST",
        f"/v1/projects/{project}/serviceAccounts",
        {"accountId": inputs["accountId"], "serviceAccount": texts},
    )
    name = str(made["name"])
    if inputs["disabled"]:
        with completing(name):
            session.call("POST", f"/v1/{name}:disable", {})
    return Created(name)


@none_if_missing
def _read_account(session: GcpSession, name: str, _state: Properties) -> Properties:
    live = session.call("GET", f"/v1/{name}")
    email = str(live["email"])
    return {
        "accountId": email.partition("@")[0],
        "project": live["projectId"],
        "displayName": live.get("displayName"),
        "description": live.get("description"),
        "disabled": live.get("disabled", False),
        "email": email,
        "member": f"serviceAccount:{email}",
        "name": live["name"],
        "uniqueId": live["uniqueId"],
    }


def _update_account(session: GcpSession, change: Change) -> None:
    path = f"/v1/{change.identifier}"
    mask = sorted(change.changed & set(_TEXTS))
    if mask:
        texts = {key: change.new.get(key) or "" for key in mask}
        session.call("PATCH", path, {"serviceAccount": texts, "updateMask": ",".join(mask)})
    if "disabled" in change.changed:
        verb = "disable" if change.new["disabled"] else "enable"
        session.call("POST", f"{path}:{verb}", {})


def _delete(session: GcpSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        session.call("DELETE", f"/v1/{name}")


ACCOUNT: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:serviceaccount/account:Account",  # noqa: S106 - a type token
    inputs=frozenset({"accountId", "project", "disabled", *_TEXTS}),
    computed=frozenset({"email", "member", "name", "uniqueId"}),
    force_new=frozenset({"accountId", "project"}),
    identity=frozenset({"accountId", "project"}),
    filled_in=frozenset({"project"}),
    defaults={"displayName": "", "description": "", "disabled": False},
    naming=Naming(input="accountId", max_length=30, lower=True),
    create=_create_account,
    read=_read_account,
    update=_update_account,
    delete=_delete,
)


def _create_key(session: GcpSession, inputs: Properties) -> Created:
    account = str(inputs["serviceAccountId"])
    if not account.startswith("projects/"):
        account = f"projects/{session.project}/serviceAccounts/{account}"
    body = {"keyAlgorithm": inputs["keyAlgorithm"], "privateKeyType": inputs["privateKeyType"]}
    made = session.call("POST", f"/v1/{account}/keys", body)
    return Created(made["name"], {"privateKey": made["privateKeyData"]})


@none_if_missing
def _read_key(session: GcpSession, name: str, state: Properties) -> Properties:
    kind = str(state.get("publicKeyType") or "TYPE_X509_PEM_FILE")
    live = session.call("GET", f"/v1/{name}", publicKeyType=kind)
    return {
        "serviceAccountId": state.get("serviceAccountId") or name.partition("/keys/")[0],
        "keyAlgorithm": live.get("keyAlgorithm"),
        "name": live["name"],
        "publicKey": live.get("publicKeyData"),
        "validAfter": live.get("validAfterTime"),
        "validBefore": live.get("validBeforeTime"),
    }


KEY: Final[ResourceType[GcpSession]] = ResourceType(
    token="gcp:serviceaccount/key:Key",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "serviceAccountId",
            "keyAlgorithm",
            "privateKeyType",
            "publicKeyType",
            "keepers",
        }
    ),
    computed=frozenset({"name", "publicKey", "validAfter", "validBefore"}),
    kept=frozenset({"privateKey"}),
    secrets=frozenset({"privateKey"}),
    force_new=frozenset(
        {
            "serviceAccountId",
            "keyAlgorithm",
            "privateKeyType",
            "publicKeyType",
            "keepers",
        }
    ),
    identity=frozenset({"serviceAccountId", "keyAlgorithm"}),
    # the form in which the key is handed out, and what makes Pulumi want another one
    settings=frozenset({"privateKeyType", "publicKeyType", "keepers"}),
    defaults={
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE",
        "publicKeyType": "TYPE_X509_PEM_FILE",
    },
    create=_create_key,
    read=_read_key,
    delete=_delete,
)
TYPES: Final = (ACCOUNT, KEY)
