"""Organisation policies: orgpolicy.googleapis.com/v2, the older v1 methods, and their enforcement.

- Only constraints that this cloud enforces can be set: a policy that binds nothing is refused,
  not stored.
- The nearest policy wins; a list policy with `inheritFromParent` is merged with its parent's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.constraints import (
    BOOLEAN,
    LISTS,
    Effective,
    allows,
    check_rules,
    from_v1,
    key_hours,
    to_v1,
)
from iamrange.clouds.gcp.errors import (
    ApiError,
    already_exists,
    failed_precondition,
    invalid_argument,
    not_found,
)
from iamrange.clouds.gcp.state import Project, new_etag, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, message, service_routes
from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement

if TYPE_CHECKING:
    from iamrange.clouds.gcp.authorize import Target

POINT: Final = "gcp.organization-policy"
_VIOLATION: Final = "Precondition check failed."


class OrganizationPolicies:
    """The policies and the questions that other services ask of them."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access
        self._state = access.state

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of the v2 API, and of v1 on Resource Manager."""
        v2 = service_routes(
            "orgpolicy.googleapis.com",
            [
                ("POST", "/v2/{kind}/{owner}/policies", self.create),
                ("GET", "/v2/{kind}/{owner}/policies", self.list_policies),
                ("GET", "/v2/{kind}/{owner}/policies/{constraint}", self.get),
                ("PATCH", "/v2/{kind}/{owner}/policies/{constraint}", self.patch),
                ("DELETE", "/v2/{kind}/{owner}/policies/{constraint}", self.delete),
                (
                    "GET",
                    "/v2/{kind}/{owner}/policies/{constraint}:getEffectivePolicy",
                    self.get_effective,
                ),
            ],
        )
        v1 = service_routes(
            "cloudresourcemanager.googleapis.com",
            [
                ("POST", "/v1/{kind}/{owner}:getOrgPolicy", self.get_v1),
                ("POST", "/v1/{kind}/{owner}:setOrgPolicy", self.set_v1),
                ("POST", "/v1/{kind}/{owner}:clearOrgPolicy", self.clear_v1),
                ("POST", "/v1/{kind}/{owner}:listOrgPolicies", self.list_v1),
                ("POST", "/v1/{kind}/{owner}:getEffectiveOrgPolicy", self.get_effective_v1),
            ],
        )
        return (*v2, *v1)

    # --- enforcement

    def require_not_enforced(
        self, call: Call, project: Project, constraint: str, subject: str, message: str
    ) -> None:
        """Refuse what a boolean constraint forbids.

        Raises:
            ApiError: 400 FAILED_PRECONDITION.
        """
        effective = self._effective(project, constraint)
        enforced = bool(effective and any(rule.get("enforce") for rule in effective.rules))
        self._obey(call, constraint, effective, subject, message, refused=enforced)

    def require_allowed_value(
        self, call: Call, project: Project, constraint: str, value: str, subject: str
    ) -> None:
        """Refuse a value that a list constraint does not allow.

        Raises:
            ApiError: 400 FAILED_PRECONDITION.
        """
        effective = self._effective(project, constraint)
        refused = not allows(effective, value, default=LISTS[constraint])
        description = f"Org Policy violated for value: '{value}'."
        self._obey(call, constraint, effective, subject, description, refused=refused)

    def require_longer_lifetime(self, call: Call, project: Project, email: str) -> None:
        """Refuse an access token of more than an hour where no policy allows it.

        Raises:
            ApiError: 400 INVALID_ARGUMENT.
        """
        constraint = "iam.allowServiceAccountCredentialLifetimeExtension"
        effective = self._effective(project, constraint)
        allowed = allows(effective, email, default=LISTS[constraint])
        layer = f"constraints/{constraint}"
        answer = LayerAnswer(
            layer,
            Effect.ALLOW if allowed else Effect.DENY,
            "lifetime-extended" if allowed else "lifetime-not-extended",
            decided_by=Statement(effective.policy, constraint) if effective else None,
        )
        subject = f"projects/{project.id}/serviceAccounts/{email}"
        outcome, _ = self._access.decide(call, POINT, constraint, subject, (answer,), _combine)
        if outcome is Outcome.DENY:
            raise invalid_argument(
                f"Access tokens for service account {email} can not have lifetimes of more than "
                f"1 hour. Use the Org Policy Constraint {layer} to allow up to 12 hours."
            )

    def key_lifetime(self, project: Project) -> float | None:
        """Return for how many seconds a new key of the project lasts; None for one that lasts."""
        hours = key_hours(self._effective(project, "iam.serviceAccountKeyExpiryHours"))
        return None if hours is None else hours * 3600.0

    def _obey(  # noqa: PLR0913 - each names one part
        self,
        call: Call,
        constraint: str,
        effective: Effective | None,
        subject: str,
        description: str,
        *,
        refused: bool,
    ) -> None:
        layer = f"constraints/{constraint}"
        if effective is None:
            answer = LayerAnswer(layer, Effect.NOT_APPLICABLE, "no-policy")
        else:
            statement = Statement(effective.policy, constraint)
            effect = Effect.DENY if refused else Effect.ALLOW
            reason = "constraint-violated" if refused else "constraint-satisfied"
            answer = LayerAnswer(layer, effect, reason, decided_by=statement)
        outcome, _ = self._access.decide(
            call, POINT, constraint, subject.removeprefix("orgpolicy:"), (answer,), _combine
        )
        if outcome is Outcome.DENY:
            message = description if constraint in BOOLEAN else _VIOLATION
            raise failed_precondition(message, layer, subject, description)

    def _effective(self, project: Project, constraint: str) -> Effective | None:
        owners = [f"projects/{project.id}"]
        if project.organization is not None:
            owners.append(f"organizations/{project.organization.id}")
        return self._merged(owners, constraint)

    def _merged(self, owners: list[str], constraint: str) -> Effective | None:
        rules: list[Body] = []
        source = ""
        for owner in owners:
            policy = self._state.organization_policies.get((owner, constraint))
            if policy is None:
                continue
            spec = policy["spec"]
            if spec.get("reset"):
                break
            rules.extend(spec.get("rules", ()))
            source = source or f"{owner}/policies/{constraint}"
            if not spec.get("inheritFromParent"):
                break
        return Effective(source, tuple(rules)) if source else None

    # --- v2

    def create(self, call: Call, kind: str, owner: str) -> Body:
        """Create a policy."""
        body = call.json()
        constraint = str(body.get("name", "")).rpartition("/policies/")[2]
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policies.create", constraint)
        self._access.require(call, "orgpolicy.policies.create", target)
        if (key, constraint) in self._state.organization_policies:
            raise already_exists()
        return self._store(key, shown, constraint, body)

    def list_policies(self, call: Call, kind: str, owner: str) -> Body:
        """List the policies that are set on a resource."""
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policies.list")
        self._access.require(call, "orgpolicy.policies.list", target)
        found = [
            self._shown(shown, constraint, policy)
            for (at, constraint), policy in self._state.organization_policies.items()
            if at == key
        ]
        return {"policies": found} if found else {}

    def get(self, call: Call, kind: str, owner: str, constraint: str) -> Body:
        """Return a policy."""
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policy.get", constraint)
        self._access.require(call, "orgpolicy.policy.get", target)
        return self._shown(shown, constraint, self._found(key, constraint))

    def get_effective(self, call: Call, kind: str, owner: str, constraint: str) -> Body:
        """Return the rules that bind a resource."""
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policy.get", constraint)
        self._access.require(call, "orgpolicy.policy.get", target)
        project = self._state.project(owner) if kind == "projects" else None
        effective = (
            self._effective(project, constraint) if project else self._merged([key], constraint)
        )
        default: Body = (
            {"enforce": False} if constraint in BOOLEAN else {"allowAll": LISTS[constraint]}
        )
        rules = list(effective.rules) if effective else [default]
        return {"name": f"{shown}/policies/{constraint}", "spec": {"rules": rules}}

    def patch(self, call: Call, kind: str, owner: str, constraint: str) -> Body:
        """Replace a policy's spec."""
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policies.update", constraint)
        self._access.require(call, "orgpolicy.policies.update", target)
        current = self._found(key, constraint)
        body = call.json()
        etag = body.get("etag") or message(body, "spec").get("etag")
        if etag and etag not in (current["etag"], current["spec"]["etag"]):
            raise ApiError("ABORTED", "The etag does not match the current policy.")
        return self._store(key, shown, constraint, body)

    def delete(self, call: Call, kind: str, owner: str, constraint: str) -> Body:
        """Delete a policy."""
        key, target, _ = self._owner(call, kind, owner, "orgpolicy.policies.delete", constraint)
        self._access.require(call, "orgpolicy.policies.delete", target)
        self._found(key, constraint)
        del self._state.organization_policies[(key, constraint)]
        return {}

    # --- v1

    def get_v1(self, call: Call, kind: str, owner: str) -> Body:
        """Return a policy in the v1 shape."""
        constraint = str(call.json().get("constraint", "")).removeprefix("constraints/")
        key, target, _ = self._owner(call, kind, owner, "orgpolicy.policy.get", constraint)
        self._access.require(call, "orgpolicy.policy.get", target)
        policy = self._state.organization_policies.get((key, constraint))
        if policy is None:
            return {"constraint": f"constraints/{constraint}", "etag": "ACAB"}
        return self._shown_v1(constraint, policy)

    def set_v1(self, call: Call, kind: str, owner: str) -> Body:
        """Set a policy in the v1 shape."""
        given = message(call.json(), "policy")
        constraint = str(given.get("constraint", "")).removeprefix("constraints/")
        key, target, shown = self._owner(call, kind, owner, "orgpolicy.policy.set", constraint)
        self._access.require(call, "orgpolicy.policy.set", target)
        stored = self._store(key, shown, constraint, {"spec": from_v1(given)})
        return {**given, "etag": stored["etag"]}

    def clear_v1(self, call: Call, kind: str, owner: str) -> Body:
        """Remove a policy."""
        constraint = str(call.json().get("constraint", "")).removeprefix("constraints/")
        key, target, _ = self._owner(call, kind, owner, "orgpolicy.policy.set", constraint)
        self._access.require(call, "orgpolicy.policy.set", target)
        self._state.organization_policies.pop((key, constraint), None)
        return {}

    def list_v1(self, call: Call, kind: str, owner: str) -> Body:
        """List the policies that are set on a resource, in the v1 shape."""
        key, target, _ = self._owner(call, kind, owner, "orgpolicy.policies.list")
        self._access.require(call, "orgpolicy.policies.list", target)
        found = [
            self._shown_v1(constraint, policy)
            for (at, constraint), policy in self._state.organization_policies.items()
            if at == key
        ]
        return {"policies": found} if found else {}

    def get_effective_v1(self, call: Call, kind: str, owner: str) -> Body:
        """Return what binds a resource, in the v1 shape."""
        constraint = str(call.json().get("constraint", "")).removeprefix("constraints/")
        spec = self.get_effective(call, kind, owner, constraint)["spec"]
        return {"constraint": f"constraints/{constraint}", **to_v1(constraint, spec)}

    @staticmethod
    def _shown_v1(constraint: str, policy: Body) -> Body:
        shape = to_v1(constraint, policy["spec"])
        return {"constraint": f"constraints/{constraint}", "etag": policy["etag"], **shape}

    def _owner(
        self, call: Call, kind: str, owner: str, permission: str, constraint: str | None = None
    ) -> tuple[str, Target, str]:
        """Return the key, the target and the shown name of a policy's owner."""
        del call
        if constraint is not None and constraint not in BOOLEAN and constraint not in LISTS:
            raise not_found(f"Constraint constraints/{constraint} is not served here.")
        if kind == "projects" and (project := self._state.project(owner)):
            target = self._access.project_target(project)
            return f"projects/{project.id}", target, f"projects/{project.number}"
        if kind == "organizations" and (organization := self._state.organizations.get(owner)):
            name = f"organizations/{organization.id}"
            return name, self._access.organization_target(organization), name
        raise denied(permission, f"{kind}/{owner}")

    def _found(self, key: str, constraint: str) -> Body:
        policy = self._state.organization_policies.get((key, constraint))
        if policy is None:
            raise not_found()
        return policy

    def _store(self, key: str, shown: str, constraint: str, body: Body) -> Body:
        spec = body.get("spec")
        if not isinstance(spec, dict):
            raise invalid_argument("The policy has no spec.")
        if body.get("dryRunSpec"):
            raise ApiError("UNIMPLEMENTED", "dryRunSpec is not served here.")
        kept = {
            name: spec[name] for name in ("rules", "inheritFromParent", "reset") if name in spec
        }
        check_rules(constraint, kept)
        etag = new_etag()
        now = timestamp(self._access.clock.now())
        policy = {"etag": etag, "spec": {**kept, "etag": etag, "updateTime": now}}
        self._state.organization_policies[(key, constraint)] = policy
        return self._shown(shown, constraint, policy)

    @staticmethod
    def _shown(owner: str, constraint: str, policy: Body) -> Body:
        return {"name": f"{owner}/policies/{constraint}", **policy}


def _combine(layers: tuple[LayerAnswer, ...]) -> tuple[Outcome, str]:
    refusing = next((layer for layer in layers if layer.refuses), None)
    return (Outcome.DENY, refusing.reason) if refusing else (Outcome.ALLOW, layers[0].reason)
