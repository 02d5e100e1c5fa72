"""The Google Cloud functions (invokes) of the embedded provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.engine.resource import Function

if TYPE_CHECKING:
    from iamrange.engine.gcp_types.session import GcpSession
    from iamrange.engine.resource import Properties


def _project(session: GcpSession, arguments: Properties) -> Properties:
    project = arguments.get("projectId") or session.project
    live = session.call("GET", f"/v1/projects/{project}")
    parent = live.get("parent") or {}
    labels = live.get("labels") or {}
    return {
        "id": f"projects/{live['projectId']}",
        "projectId": live["projectId"],
        "number": str(live["projectNumber"]),
        "name": live.get("name", ""),
        "orgId": parent.get("id", "") if parent.get("type") == "organization" else "",
        "folderId": parent.get("id", "") if parent.get("type") == "folder" else "",
        "billingAccount": "",
        "autoCreateNetwork": False,
        "deletionPolicy": "",
        "tags": {},
        "labels": labels,
        "effectiveLabels": labels,
        "pulumiLabels": labels,
    }


def _client_config(session: GcpSession, _arguments: Properties) -> Properties:
    return {
        "id": f"projects/{session.project}",
        "project": session.project,
        "region": session.region or "",
        "zone": session.zone or "",
        "accessToken": session.token(),
        "defaultLabels": dict(session.default_tags),
    }


FUNCTIONS: Final[tuple[Function[GcpSession], ...]] = (
    Function(
        token="gcp:organizations/getProject:getProject",  # noqa: S106 - a function token
        inputs=frozenset({"projectId"}),
        call=_project,
    ),
    Function(
        token="gcp:organizations/getClientConfig:getClientConfig",  # noqa: S106 - a function token
        inputs=frozenset(),
        secrets=frozenset({"accessToken"}),
        call=_client_config,
    ),
)
