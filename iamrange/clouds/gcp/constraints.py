"""Constraints of organisation policies: those served, what rules mean, the v1 shapes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.errors import ApiError, invalid_argument
from iamrange.clouds.gcp.wire import Body, message, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

BOOLEAN: Final = frozenset(
    {
        "iam.disableServiceAccountCreation",
        "iam.managed.disableServiceAccountCreation",
        "iam.disableServiceAccountKeyUpload",
        "iam.managed.disableServiceAccountKeyUpload",
        "iam.disableServiceAccountKeyCreation",
        "iam.managed.disableServiceAccountKeyCreation",
    }
)
LISTS: Final = {
    # constraint: whether everything is allowed where no policy is set
    "iam.workloadIdentityPoolProviders": True,
    "iam.allowServiceAccountCredentialLifetimeExtension": False,
    "iam.serviceAccountKeyExpiryHours": True,
}
KEY_HOURS: Final = {f"{hours}h": hours for hours in (1, 8, 24, 168, 336, 720, 1440, 2160)}
"""The values of `iam.serviceAccountKeyExpiryHours`."""

_KEY_EXPIRY: Final = "iam.serviceAccountKeyExpiryHours"


@dataclass(frozen=True, slots=True)
class Effective:
    """The rules that bind a resource, and the policy that they came from."""

    policy: str
    rules: tuple[Body, ...]


def allows(effective: Effective | None, value: str, *, default: bool) -> bool:
    """Answer for a list constraint: a denied value is refused, whatever is allowed."""
    if effective is None:
        return default
    denied_values = set(_values(effective.rules, "deniedValues"))
    allowed_values = set(_values(effective.rules, "allowedValues"))
    if any(rule.get("denyAll") for rule in effective.rules) or _listed(value, denied_values):
        return False
    if any(rule.get("allowAll") for rule in effective.rules) or _listed(value, allowed_values):
        return True
    return not allowed_values


def key_hours(effective: Effective | None) -> int | None:
    """Return for how many hours a new key lasts; None where no policy bounds it."""
    given = _values(effective.rules, "allowedValues") if effective else []
    return min((KEY_HOURS[value] for value in given), default=None)


def _listed(value: str, values: set[str]) -> bool:
    return value in {text.removeprefix("is:") for text in values}


def _values(rules: Iterable[Body], name: str) -> list[str]:
    return [text for rule in rules for text in (rule.get("values") or {}).get(name) or ()]


def check_rules(constraint: str, spec: Body) -> None:
    """Refuse rules that do not fit their constraint.

    Raises:
        ApiError: 400, or 501 for conditional rules.
    """
    rules = spec.get("rules", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise invalid_argument("Invalid value at 'spec.rules'.")
    if spec.get("reset") and rules:
        raise invalid_argument("A policy that resets has no rules.")
    if not spec.get("reset") and not rules:
        raise invalid_argument("A policy needs at least one rule, or reset.")
    for rule in rules:
        if rule.get("condition"):
            raise ApiError("UNIMPLEMENTED", "Conditional rules are not served here.")
        if constraint in BOOLEAN and not isinstance(rule.get("enforce"), bool):
            raise invalid_argument(f"Constraint {constraint} takes rules with 'enforce' only.")
        if constraint in LISTS and "enforce" in rule:
            raise invalid_argument(f"Constraint {constraint} takes lists of values.")
        values = message(rule, "values")
        allowed, denied = texts(values, "allowedValues"), texts(values, "deniedValues")
        if constraint == _KEY_EXPIRY and (denied or set(allowed) - KEY_HOURS.keys()):
            raise invalid_argument(f"Constraint {constraint} takes {', '.join(KEY_HOURS)}.")
        if constraint in LISTS and not (
            rule.get("allowAll") or rule.get("denyAll") or rule.get("values")
        ):
            raise invalid_argument("A rule needs values, allowAll or denyAll.")


def to_v1(constraint: str, spec: Body) -> Body:
    """Return a spec in the shape of the v1 API."""
    if spec.get("reset"):
        return {"restoreDefault": {}}
    rules = spec["rules"]
    if constraint in BOOLEAN:
        return {"booleanPolicy": {"enforced": any(rule.get("enforce") for rule in rules)}}
    policy: dict[str, Any] = {}
    if any(rule.get("allowAll") for rule in rules):
        policy["allValues"] = "ALLOW"
    if any(rule.get("denyAll") for rule in rules):
        policy["allValues"] = "DENY"
    for name in ("allowedValues", "deniedValues"):
        if values := _values(rules, name):
            policy[name] = values
    if spec.get("inheritFromParent"):
        policy["inheritFromParent"] = True
    return {"listPolicy": policy}


def from_v1(given: Body) -> Body:
    """Return the spec that a policy in the v1 shape means.

    Raises:
        ApiError: 400.
    """
    if "restoreDefault" in given:
        return {"reset": True}
    if "booleanPolicy" in given:
        return {"rules": [{"enforce": bool(message(given, "booleanPolicy").get("enforced"))}]}
    listed = given.get("listPolicy")
    if not isinstance(listed, dict):
        raise invalid_argument("The policy has neither booleanPolicy nor listPolicy.")
    if listed.get("allValues") in ("ALLOW", "DENY"):
        rule: Body = {"allowAll" if listed["allValues"] == "ALLOW" else "denyAll": True}
    else:
        names = ("allowedValues", "deniedValues")
        rule = {"values": {name: texts(listed, name) for name in names if name in listed}}
    return {"rules": [rule], "inheritFromParent": bool(listed.get("inheritFromParent"))}
