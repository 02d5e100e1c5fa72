"""The enforcement point: asks the pure decider, writes the record, obeys it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.clouds.gcp import authorize
from iamrange.clouds.gcp.authorize import Level, Question, Target
from iamrange.clouds.gcp.errors import ApiError, error_info
from iamrange.core.decision import DecisionRecord, LayerAnswer, Outcome, RecordSink, Tamper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.clouds.gcp.state import Organization, Project, Secret, ServiceAccount, State
    from iamrange.clouds.gcp.wire import Call
    from iamrange.core.clock import Clock


@dataclass(slots=True)
class Access:
    """State, time and the record sink, as every service needs them."""

    state: State
    clock: Clock
    records: RecordSink
    tamper: Tamper

    def require(
        self,
        call: Call,
        permission: str,
        target: Target,
        *,
        message: str | None = None,
        api_attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Let the call pass if its caller may do this.

        Raises:
            ApiError: 403 PERMISSION_DENIED.
        """
        question = Question(call.caller, permission, target, self.clock.now(), api_attributes or {})
        layers = authorize.answer(question, self.state.role_permissions)
        outcome, _ = self.decide(
            call,
            authorize.POINT,
            permission,
            target.name,
            layers,
            authorize.combine,
            {"policy_resource": target.levels[0].resource},
            _project_of_target(target),
            authorize.unevaluated(question, self.state.role_permissions),
        )
        if outcome is Outcome.DENY:
            raise denied(permission, target.name, message)

    def require_user_project(self, call: Call) -> None:
        """Let the call pass if its caller may charge the project that it names for its quota.

        Raises:
            ApiError: 403 PERMISSION_DENIED.
        """
        name = call.headers.get("x-goog-user-project", "")
        if not name:
            return
        project = self.state.project(name)
        if project is None:
            raise _user_project_denied(name, call.service)
        try:
            self.require(call, "serviceusage.services.use", self.project_target(project))
        except ApiError as error:
            raise _user_project_denied(name, call.service) from error

    def may(self, call: Call, permission: str, target: Target) -> bool:
        """Answer a question about the caller itself (testIamPermissions): nothing is obeyed."""
        question = Question(call.caller, permission, target, self.clock.now())
        layers = authorize.answer(question, self.state.role_permissions)
        return authorize.combine(layers)[0] is Outcome.ALLOW

    def decide(  # noqa: PLR0913, PLR0917 - each names one part
        self,
        call: Call,
        point: str,
        action: str,
        resource: str,
        layers: tuple[LayerAnswer, ...],
        combine: Callable[[tuple[LayerAnswer, ...]], tuple[Outcome, str]],
        facts: Mapping[str, str] | None = None,
        account: str = "",
        unevaluated: tuple[str, ...] = (),
    ) -> tuple[Outcome, tuple[LayerAnswer, ...]]:
        """Combine the layers as the cloud has them, write the record, return the outcome."""
        layers = self.tamper(point, layers)
        outcome, reason = combine(layers)
        self.records(
            DecisionRecord(
                request_id=call.request_id,
                time=self.clock.now(),
                point=point,
                action=action,
                resource=resource,
                principal=call.caller.member,
                outcome=outcome,
                reason=reason,
                layers=layers,
                source_ip=call.source_ip,
                user_agent=call.headers.get("user-agent", ""),
                account=account or _project_of(resource),
                unevaluated=unevaluated,
                facts=facts or {},
            )
        )
        return outcome, layers

    def project_target(self, project: Project) -> Target:
        """Return a project as a target."""
        return Target(
            f"projects/{project.id}",
            "cloudresourcemanager.googleapis.com/Project",
            "cloudresourcemanager.googleapis.com",
            self.state.project_levels(project),
        )

    def organization_target(self, organization: Organization) -> Target:
        """Return the organisation as a target."""
        return Target(
            f"organizations/{organization.id}",
            "cloudresourcemanager.googleapis.com/Organization",
            "cloudresourcemanager.googleapis.com",
            self.state.organization_levels(organization),
        )

    def child_target(self, project: Project, name: str, kind: str) -> Target:
        """Return a resource that has no policy of its own, below a project."""
        service = kind.partition("/")[0]
        return Target(name, kind, service, self.state.project_levels(project))

    def account_target(self, account: ServiceAccount) -> Target:
        """Return a service account as a target."""
        name = f"projects/{account.project.id}/serviceAccounts/{account.email}"
        own = Level(name, account.policy.bindings)
        return Target(
            f"projects/-/serviceAccounts/{account.unique_id}",
            "iam.googleapis.com/ServiceAccount",
            "iam.googleapis.com",
            (own, *self.state.project_levels(account.project)),
        )

    def secret_target(self, secret: Secret, version: str | None = None) -> Target:
        """Return a secret, or one of its versions, as a target."""
        own = Level(secret.name, secret.policy.bindings)
        return Target(
            secret.name if version is None else f"{secret.name}/versions/{version}",
            f"secretmanager.googleapis.com/{'Secret' if version is None else 'SecretVersion'}",
            "secretmanager.googleapis.com",
            (own, *self.state.project_levels(secret.project)),
        )


def denied(permission: str, resource: str, message: str | None = None) -> ApiError:
    """Return the answer to a caller that lacks a permission."""
    text = message or (
        f"Permission '{permission}' denied on resource '//{_host(permission)}/{resource}' "
        "(or it may not exist)."
    )
    info = error_info(
        "IAM_PERMISSION_DENIED",
        _host(permission) if permission.startswith("resourcemanager") else "iam.googleapis.com",
        {"permission": permission, "resource": resource},
    )
    return ApiError("PERMISSION_DENIED", text, [info])


def _user_project_denied(name: str, service: str) -> ApiError:
    """Return the answer to a caller that may not charge a project (google.aip.dev/auth/4118)."""
    metadata = {"consumer": f"projects/{name[:100]}", "service": service}
    return ApiError(
        "PERMISSION_DENIED",
        f"Caller does not have required permission to use project {name[:100]}. Grant the caller "
        "the roles/serviceusage.serviceUsageConsumer role, or a custom role with the "
        "serviceusage.services.use permission, and then retry.",
        [error_info("USER_PROJECT_DENIED", "googleapis.com", metadata)],
    )


def _host(permission: str) -> str:
    return authorize.v2_permission(permission).partition("/")[0]


def _project_of_target(target: Target) -> str:
    """Return the project's id: a resource's name may hold its number, or a wildcard."""
    names = [level.resource for level in target.levels if level.resource.startswith("projects/")]
    return names[-1].split("/")[1] if names else ""


def _project_of(resource: str) -> str:
    parts = resource.split("/")
    return parts[1] if parts[0] == "projects" and len(parts) > 1 else ""
