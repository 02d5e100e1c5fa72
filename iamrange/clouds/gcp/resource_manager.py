"""Resource Manager v1 and v3: projects and the organisation, and their allow policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp import policies
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.authorize import MODIFIED_ROLES
from iamrange.clouds.gcp.state import Organization, Project, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.authorize import Target

HOST: Final = "cloudresourcemanager.googleapis.com"


class ResourceManager:
    """The hierarchy."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access
        self._state = access.state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of both versions."""
        table = []
        for version in ("v1", "v3"):
            for kind in ("projects", "organizations"):
                one = f"/{version}/{kind}/{{owner}}"
                table += [
                    ("POST", f"{one}:getIamPolicy", self.get_policy),
                    ("POST", f"{one}:setIamPolicy", self.set_policy),
                    ("POST", f"{one}:testIamPermissions", self.test_permissions),
                ]
        return service_routes(
            HOST,
            [
                ("GET", "/v1/projects", self.list_v1),
                ("GET", "/v1/projects/{owner}", self.get_project_v1),
                ("POST", "/v1/projects/{owner}:getAncestry", self.get_ancestry),
                ("GET", "/v3/projects/{owner}", self.get_project_v3),
                ("GET", "/v3/projects:search", self.search_v3),
                ("GET", "/v1/organizations/{owner}", self.get_organization),
                ("GET", "/v3/organizations/{owner}", self.get_organization),
                *table,
            ],
        )

    def list_v1(self, call: Call) -> Body:
        """List the projects that the caller may see."""
        found = [project_to_v1(project) for project in self._visible(call)]
        return {"projects": found} if found else {}

    def search_v3(self, call: Call) -> Body:
        """List the projects that the caller may see."""
        found = [project_to_v3(project) for project in self._visible(call)]
        return {"projects": found} if found else {}

    def get_project_v1(self, call: Call, owner: str) -> Body:
        """Return a project."""
        return project_to_v1(self._project(call, owner))

    def get_project_v3(self, call: Call, owner: str) -> Body:
        """Return a project."""
        return project_to_v3(self._project(call, owner))

    def get_ancestry(self, call: Call, owner: str) -> Body:
        """Return the chain from a project upwards."""
        project = self._project(call, owner)
        chain = [{"resourceId": {"type": "project", "id": project.id}}]
        if project.organization is not None:
            chain.append({"resourceId": {"type": "organization", "id": project.organization.id}})
        return {"ancestor": chain}

    def get_organization(self, call: Call, owner: str) -> Body:
        """Return the organisation."""
        organization = self._state.organizations.get(owner)
        permission = "resourcemanager.organizations.get"
        if organization is None:
            raise denied(permission, f"organizations/{owner}")
        self._access.require(call, permission, self._access.organization_target(organization))
        return {
            "name": f"organizations/{organization.id}",
            "organizationId": organization.id,
            "displayName": "iamrange.example",
            "lifecycleState": "ACTIVE",
            "state": "ACTIVE",
        }

    def get_policy(self, call: Call, owner: str) -> Body:
        """Return an allow policy."""
        found, target, kind = self._owner(call, owner, "getIamPolicy")
        self._access.require(call, f"resourcemanager.{kind}.getIamPolicy", target)
        version = policies.requested_version(call.json(), call.query)
        return policies.policy_to_json(found.policy, version)

    def set_policy(self, call: Call, owner: str) -> Body:
        """Replace an allow policy."""
        found, target, kind = self._owner(call, owner, "setIamPolicy")
        write = policies.parse_write(call.json(), self._state, found)
        changed = policies.modified_roles(found.policy, write)
        self._access.require(
            call,
            f"resourcemanager.{kind}.setIamPolicy",
            target,
            api_attributes={MODIFIED_ROLES: changed},
        )
        policies.apply_write(found.policy, write)
        return policies.policy_to_json(found.policy, policies.CONDITIONAL_VERSION)

    def test_permissions(self, call: Call, owner: str) -> Body:
        """Return which of the permissions the caller holds."""
        _, target, _ = self._owner(call, owner, "get")
        asked = policies.permissions_asked(call.json())
        return policies.held(asked, lambda p: self._access.may(call, p, target))

    def _owner(
        self, call: Call, owner: str, verb: str
    ) -> tuple[Project | Organization, Target, str]:
        kind = call.path.split("/")[2]
        found: Project | Organization | None
        if kind == "projects":
            found = self._state.project(owner)
            if found is not None:
                return found, self._access.project_target(found), kind
        else:
            found = self._state.organizations.get(owner)
            if found is not None:
                return found, self._access.organization_target(found), kind
        raise denied(f"resourcemanager.{kind}.{verb}", f"{kind}/{owner}")

    def _project(self, call: Call, owner: str) -> Project:
        project = self._state.project(owner)
        if project is None:
            raise denied("resourcemanager.projects.get", f"projects/{owner}")
        target = self._access.project_target(project)
        self._access.require(call, "resourcemanager.projects.get", target)
        return project

    def _visible(self, call: Call) -> list[Project]:
        return [
            project
            for project in self._state.projects.values()
            if self._access.may(
                call, "resourcemanager.projects.get", self._access.project_target(project)
            )
        ]


def project_to_v1(project: Project) -> Body:
    """Return a project as v1 shows it."""
    answer: Body = {
        "projectNumber": project.number,
        "projectId": project.id,
        "lifecycleState": "ACTIVE",
        "name": project.id,
        "createTime": timestamp(project.created),
        "labels": project.labels,
    }
    if project.organization is not None:
        answer["parent"] = {"type": "organization", "id": project.organization.id}
    return answer


def project_to_v3(project: Project) -> Body:
    """Return a project as v3 shows it."""
    answer: Body = {
        "name": f"projects/{project.number}",
        "projectId": project.id,
        "displayName": project.id,
        "state": "ACTIVE",
        "createTime": timestamp(project.created),
        "updateTime": timestamp(project.created),
        "labels": project.labels,
    }
    if project.organization is not None:
        answer["parent"] = f"organizations/{project.organization.id}"
    return answer
