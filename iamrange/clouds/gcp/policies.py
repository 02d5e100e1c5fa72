"""Allow policies on the wire: reading, checking and writing them, the same for every resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.authorize import Binding, Condition, condition_problem
from iamrange.clouds.gcp.cel import Failed
from iamrange.clouds.gcp.crc32c import crc32c
from iamrange.clouds.gcp.errors import ApiError, invalid_argument
from iamrange.clouds.gcp.principals import canonical_member, member_problem
from iamrange.clouds.gcp.roles import BASIC, HIDDEN
from iamrange.clouds.gcp.state import Organization, Policy, Project, State, new_etag
from iamrange.clouds.gcp.wire import Body, message, texts

if TYPE_CHECKING:
    from collections.abc import Callable


CONDITIONAL_VERSION: Final = 3
_VERSIONS: Final = (0, 1, CONDITIONAL_VERSION)
_MASKED: Final = {
    "bindings": "bindings",
    "etag": "etag",
    "version": "version",
    "auditConfigs": "auditConfigs",
    "audit_configs": "auditConfigs",
}
_MAX_MEMBERS: Final = 1500


def policy_to_json(policy: Policy, requested_version: int = 1) -> Body:
    """Return the policy as the API shows it."""
    bindings = [_binding_to_json(b, requested_version) for b in policy.bindings]
    conditional = any(b.condition for b in policy.bindings)
    version = CONDITIONAL_VERSION if conditional and requested_version >= CONDITIONAL_VERSION else 1
    answer: Body = {"version": version, "etag": policy.etag}
    if bindings:
        answer["bindings"] = bindings
    if policy.audit_configs:
        answer["auditConfigs"] = list(policy.audit_configs)
    return answer


def requested_version(body: Body, query: Any) -> int:  # noqa: ANN401 - any JSON value
    """Return the policy version that a getIamPolicy asks for."""
    text = message(body, "options").get("requestedPolicyVersion") or query.get(
        "options.requestedPolicyVersion", query.get("options.requested_policy_version", 1)
    )
    try:
        version = int(text)
    except (TypeError, ValueError) as error:
        raise invalid_argument("Invalid value for requestedPolicyVersion.") from error
    if version not in (0, 1, CONDITIONAL_VERSION):
        raise invalid_argument("Invalid value for requestedPolicyVersion: 0, 1 or 3.")
    return version


@dataclass(frozen=True, slots=True)
class PolicyWrite:
    """What a setIamPolicy request writes; a part that is None stays as it is."""

    bindings: tuple[Binding, ...] | None
    audit_configs: tuple[Any, ...] | None
    etag: str
    """The etag that the write is based on; empty for a blind write."""
    version: int


def parse_write(body: Body, state: State, owner: Project | Organization | None) -> PolicyWrite:
    """Return what a setIamPolicy request writes.

    Without an update mask that is the bindings, and the audit settings if there are any in it.
    `owner` is the project or organisation that the resource belongs to: its custom roles are the
    ones that can be granted.

    Raises:
        ApiError: 400, where the real API refuses the request.
    """
    document = body.get("policy")
    if not isinstance(document, dict):
        raise invalid_argument("The policy is missing.")
    version = document.get("version", 0)
    if isinstance(version, bool) or version not in _VERSIONS:
        raise invalid_argument("Invalid policy version: 0, 1 or 3.")
    mask = _mask(body)
    audit = document.get("auditConfigs")
    if audit is not None and not isinstance(audit, list):
        raise invalid_argument("Invalid value at 'policy.audit_configs'.")
    audited = audit is not None if mask is None else "auditConfigs" in mask
    return PolicyWrite(
        _parse_bindings(document, version, state, owner)
        if mask is None or "bindings" in mask
        else None,
        tuple(audit or ()) if audited else None,
        str(document.get("etag") or ""),
        version,
    )


def apply_write(current: Policy, write: PolicyWrite) -> None:
    """Write a policy in place.

    Raises:
        ApiError: 409 ABORTED, if the policy changed since it was read; 400, if a writer who read
            an older form of it would lose its conditions.
    """
    if write.etag and write.etag != current.etag:
        raise ApiError(
            "ABORTED",
            "There were concurrent policy changes. Please retry the whole read-modify-write "
            "with exponential backoff.",
        )
    conditional = any(binding.condition for binding in current.bindings)
    if write.etag and conditional and write.version != CONDITIONAL_VERSION:
        # without an etag even the real API lets the conditions be lost
        # (cloud.google.com/iam/docs/policies#versions)
        raise invalid_argument(
            "The policy holds conditional role bindings: policy.version must be set to 3."
        )
    if write.bindings is not None:
        current.bindings = write.bindings
    if write.audit_configs is not None:
        current.audit_configs = write.audit_configs
    current.etag = new_etag()


def modified_roles(current: Policy, write: PolicyWrite) -> list[str]:
    """Return the roles whose grants a write changes (delegated role grants)."""
    if write.bindings is None:
        return []
    before, after = (
        {(b.role, m, b.condition) for b in bindings for m in b.members}
        for bindings in (current.bindings, write.bindings)
    )
    return sorted({role for role, _, _ in before ^ after})


def rename_member(state: State, old: str, new: str) -> None:
    """Replace a member in every policy (what deletion of a service account does)."""
    for policy in state.policies():
        policy.bindings = tuple(
            Binding(b.role, tuple(new if m == old else m for m in b.members), b.condition)
            for b in policy.bindings
        )


def permissions_asked(body: Body) -> list[str]:
    """Return the permissions of a testIamPermissions request."""
    asked = texts(body, "permissions")
    if any("*" in item for item in asked):
        raise invalid_argument("Permissions with wildcards are not allowed.")
    return asked


def held(asked: list[str], may: Callable[[str], bool]) -> Body:
    """Return the answer of testIamPermissions."""
    granted = [permission for permission in asked if may(permission)]
    return {"permissions": granted} if granted else {}


def parse_condition(document: Any) -> Condition | None:  # noqa: ANN401 - any JSON value
    """Return a condition.

    Raises:
        ApiError: 400, if it does not compile.
    """
    if not document:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("expression"), str):
        raise invalid_argument("Invalid condition: an expression is expected.")
    if not document.get("title"):
        raise invalid_argument("Invalid condition: title is required.")
    condition = Condition(
        document["expression"], str(document["title"]), str(document.get("description", ""))
    )
    compiled = condition.compiled()
    if isinstance(compiled, Failed):
        raise invalid_argument(f"Condition expression compilation failed: {compiled.detail}.")
    if problem := condition_problem(compiled):
        raise invalid_argument(f"Condition expression compilation failed: {problem}.")
    return condition


def condition_to_json(condition: Condition) -> Body:
    """Return a condition as the API shows it."""
    answer = {"expression": condition.expression, "title": condition.title}
    return {**answer, **({"description": condition.description} if condition.description else {})}


def _binding_to_json(binding: Binding, version: int) -> Body:
    answer: Body = {"role": binding.role, "members": list(binding.members)}
    if binding.condition is None:
        return answer
    if version >= CONDITIONAL_VERSION:
        return {**answer, "condition": condition_to_json(binding.condition)}
    # a reader of version 1 sees that there is a condition, and not which
    return {
        **answer,
        "role": f"{binding.role}_withcond_{crc32c(binding.condition.expression.encode()):020x}",
    }


def _mask(body: Body) -> frozenset[str] | None:
    text = body.get("updateMask")
    if not text:
        return None
    names = {_MASKED.get(name.strip().removeprefix("policy.")) for name in str(text).split(",")}
    if None in names:
        raise invalid_argument(f"Invalid update mask: {str(text)[:100]}.")
    return frozenset(name for name in names if name is not None)


def _parse_bindings(
    document: Body, version: int, state: State, owner: Project | Organization | None
) -> tuple[Binding, ...]:
    bindings = document.get("bindings") or []
    if not isinstance(bindings, list):
        raise invalid_argument("Invalid value at 'policy.bindings'.")
    parsed = tuple(_parse_binding(binding, state, owner) for binding in bindings)
    if any(b.condition for b in parsed) and version != CONDITIONAL_VERSION:
        raise invalid_argument(
            "Policy version must be 3 when the policy holds a condition "
            "(policy.version was not set to 3)."
        )
    if sum(len(b.members) for b in parsed) > _MAX_MEMBERS:
        raise invalid_argument(f"The policy holds more than {_MAX_MEMBERS} members.")
    return _merged(tuple(b for b in parsed if b.members))


def _parse_binding(binding: Any, state: State, owner: Project | Organization | None) -> Binding:  # noqa: ANN401 - any JSON value
    if not isinstance(binding, dict):
        raise invalid_argument("Invalid value at 'policy.bindings'.")
    role, members = binding.get("role"), binding.get("members") or []
    if not isinstance(role, str) or not _is_grantable(role, state, owner):
        raise invalid_argument(f"Role {role} is not supported for this resource.")
    if not isinstance(members, list):
        raise invalid_argument("Invalid value at 'policy.bindings.members'.")
    for member in members:
        if problem := member_problem(member) or _absent_account(canonical_member(member), state):
            raise invalid_argument(problem)
    condition = parse_condition(binding.get("condition"))
    if condition is not None:
        _check_conditional(role, members)
    return Binding(role, tuple(dict.fromkeys(map(canonical_member, members))), condition)


def _is_grantable(role: str, state: State, owner: Project | Organization | None) -> bool:
    if role in HIDDEN or state.role_permissions(role) is None:
        return False
    if role.startswith("roles/") or owner is None:
        return True
    above = owner.organization if isinstance(owner, Project) else owner
    scopes = {f"organizations/{above.id}"} if above is not None else set()
    if isinstance(owner, Project):
        scopes.add(f"projects/{owner.id}")
    return role.partition("/roles/")[0] in scopes


def _check_conditional(role: str, members: list[str]) -> None:
    if role in BASIC:
        raise invalid_argument("Conditions can't be set on basic roles.")
    if {"allUsers", "allAuthenticatedUsers"} & set(members):
        raise invalid_argument(
            "Conditions can't be set for the principals allUsers and allAuthenticatedUsers."
        )


def _absent_account(member: str, state: State) -> str | None:
    """Refuse a service account of one of our projects that is not there, as the API does."""
    email = member.removeprefix("serviceAccount:")
    domain = email.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    if email == member or domain not in state.projects or state.account(email):
        return None
    return f"Service account {email} does not exist."


def _merged(bindings: tuple[Binding, ...]) -> tuple[Binding, ...]:
    """Merge bindings of the same role and condition, as the API does."""
    members: dict[tuple[str, Condition | None], list[str]] = {}
    for binding in bindings:
        members.setdefault((binding.role, binding.condition), []).extend(binding.members)
    return tuple(
        Binding(role, tuple(dict.fromkeys(names)), condition)
        for (role, condition), names in members.items()
    )
