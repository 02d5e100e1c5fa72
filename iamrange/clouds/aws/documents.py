"""Policy documents: JSON, elements, what each kind of policy must and must not have.

- Never raises anything but `MalformedPolicy`, whatever the document.
- Duplicate members, unknown elements and wrong types are refused: what is not understood is not
  stored, so that nothing stands in a policy without effect.
- Messages are AWS's own where they are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from iamrange.clouds.aws.actions import lower_names
from iamrange.clouds.aws.conditions import UnknownOperatorError, compile_condition
from iamrange.clouds.aws.elements import parse_actions, parse_principal, parse_resources, strings
from iamrange.clouds.aws.malformed import MalformedPolicy, syntax_error
from iamrange.clouds.aws.principals import PrincipalElement


class PolicyKind(StrEnum):
    """What a document is attached to; kinds differ in what they may contain."""

    IDENTITY = "identity"
    BOUNDARY = "boundary"
    SESSION = "session"
    RESOURCE = "resource"
    SCP = "scp"
    RCP = "rcp"
    TRUST = "trust"


LATEST_VERSION = "2012-10-17"
VERSIONS = (LATEST_VERSION, "2008-10-17")

SIZE_LIMITS: Mapping[str, int] = {
    "inline-user": 2048,
    "inline-group": 5120,
    "inline-role": 10240,
    "managed": 6144,
    "trust": 2048,
    "session": 2048,
    "scp": 5120,
    "rcp": 5120,
    "secret": 20480,
    "bucket": 20480,
    "key": 32768,
}
"""Characters (IAM and Organizations quotas; white space does not count for IAM's own kinds)."""

_TOP = frozenset({"Version", "Id", "Statement"})
_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_WITH_PRINCIPAL = (PolicyKind.RESOURCE, PolicyKind.TRUST, PolicyKind.RCP)
_SID = re.compile(r"[0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class ParsedCondition:
    """One operator on one key with its values."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedStatement:
    """One statement, checked; `resources` is None in a trust policy, which has none."""

    sid: str
    allow: bool
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...] | None
    not_resource: bool
    principal: PrincipalElement | None
    not_principal: bool
    conditions: tuple[ParsedCondition, ...]


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A policy document, checked."""

    version: str
    statements: tuple[ParsedStatement, ...]


def policy_size(document: str) -> int:
    """Count a document's characters as IAM's quotas do: without white space."""
    return sum(1 for character in document if not character.isspace())


def parse_document(document: str | Mapping[str, Any], kind: PolicyKind) -> ParsedDocument:
    """Read and check a policy document.

    Raises:
        MalformedPolicy: the document is not one that AWS would store.
    """
    value = load(document) if isinstance(document, str) else document
    if not isinstance(value, Mapping):
        raise syntax_error("a policy is a JSON object")
    _only(value, _TOP)
    version = value.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise syntax_error(f"version {version!r}")
    if kind in (PolicyKind.SCP, PolicyKind.RCP) and version != LATEST_VERSION:
        raise MalformedPolicy(f"Policy document must be version {LATEST_VERSION} or greater.")
    if not isinstance(value.get("Id", ""), str):
        raise syntax_error("Id is not a string")
    if "Statement" not in value:
        raise syntax_error("no Statement")
    statements = value["Statement"]
    if isinstance(statements, Mapping):
        statements = [statements]
    if not isinstance(statements, list | tuple) or not statements:
        raise syntax_error("Statement is not a list of statements")
    parsed = tuple(_statement(statement, kind) for statement in statements)
    if kind is not PolicyKind.RESOURCE:
        _check_sids(parsed)
    return ParsedDocument(version, parsed)


def load(document: str) -> object:
    """Read JSON, refusing duplicate members and what is not JSON (`NaN`).

    Raises:
        MalformedPolicy: the text is not such JSON.
    """
    try:
        return json.loads(document, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except MalformedPolicy:
        raise
    except (ValueError, RecursionError):
        # The cause is left out: it would quote the document.
        raise syntax_error("not JSON") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise syntax_error("duplicate member")
    return members


def _no_constant(name: str) -> NoReturn:
    raise syntax_error(f"{name} is not JSON")


def _only(value: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in value:
        if name not in known:
            raise syntax_error(f"unknown element {name!r}")


def _check_sids(statements: tuple[ParsedStatement, ...]) -> None:
    sids = [statement.sid for statement in statements if statement.sid]
    if any(not _SID.fullmatch(sid) for sid in sids):
        raise MalformedPolicy(
            "Statement IDs (SID) must be alpha-numeric. "
            "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
    if len(set(sids)) != len(sids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")


def _statement(value: object, kind: PolicyKind) -> ParsedStatement:
    if not isinstance(value, Mapping):
        raise syntax_error("a statement is a JSON object")
    _only(value, _ELEMENTS)
    for name in ("Principal", "Action", "Resource"):
        if name in value and f"Not{name}" in value:
            raise syntax_error(f"both {name} and Not{name}")
    sid, effect = value.get("Sid", ""), value.get("Effect")
    if not isinstance(sid, str):
        raise syntax_error("Sid is not a string")
    if effect not in ("Allow", "Deny"):
        raise syntax_error(f"Effect expected 'Allow' or 'Deny', got {effect!r}")
    statement = ParsedStatement(
        sid=sid,
        allow=effect == "Allow",
        actions=parse_actions(_either(value, "Action")),
        not_action="NotAction" in value,
        resources=_resources(value, kind),
        not_resource="NotResource" in value,
        principal=_principal(value, kind),
        not_principal="NotPrincipal" in value,
        conditions=_conditions(value.get("Condition", {})),
    )
    if kind is PolicyKind.TRUST:
        _check_trust(statement)
    if kind is PolicyKind.RCP:
        _check_rcp(statement)
    return statement


def _either(value: Mapping[str, Any], name: str) -> object:
    return value.get(name, value.get(f"Not{name}"))


def _resources(value: Mapping[str, Any], kind: PolicyKind) -> tuple[str, ...] | None:
    present = "Resource" in value or "NotResource" in value
    if kind is PolicyKind.TRUST:
        if present:
            raise MalformedPolicy("Has prohibited field Resource.")
        return None
    if not present:
        raise MalformedPolicy("Policy statement must contain resources.")
    return parse_resources(
        _either(value, "Resource"),
        of_resource=kind is PolicyKind.RESOURCE,
        complete=kind is PolicyKind.SESSION,
    )


def _principal(value: Mapping[str, Any], kind: PolicyKind) -> PrincipalElement | None:
    present = "Principal" in value or "NotPrincipal" in value
    if kind not in _WITH_PRINCIPAL:
        if present:
            raise MalformedPolicy("Policy document should not specify a principal.")
        return None
    if not present:
        raise MalformedPolicy("Missing required field Principal")
    if "NotPrincipal" in value and (kind is not PolicyKind.RESOURCE or value["Effect"] == "Allow"):
        # IAM user guide, "NotPrincipal": with Deny, in resource policies, nowhere else.
        raise MalformedPolicy("Has prohibited field NotPrincipal.")
    return parse_principal(_either(value, "Principal"))


def _conditions(value: object) -> tuple[ParsedCondition, ...]:
    if not isinstance(value, Mapping):
        raise syntax_error("Condition is not an object")
    conditions: list[ParsedCondition] = []
    for operator, keys in value.items():
        if not isinstance(operator, str) or not isinstance(keys, Mapping):
            raise syntax_error("a condition operator holds an object")
        for key, wanted in keys.items():
            if not isinstance(key, str) or ":" not in key.strip(":"):
                raise MalformedPolicy(
                    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
                    f"condition key {key!r}",
                )
            conditions.append(ParsedCondition(operator, key, strings(wanted, scalars=True)))
        try:
            compile_condition(operator, "", (), variables=False)
        except UnknownOperatorError:
            raise MalformedPolicy(f"Invalid Condition type : {operator}.") from None
    return tuple(conditions)


def _check_trust(statement: ParsedStatement) -> None:
    for action in statement.actions:
        lowered = action.lower()
        wild = "*" in action or "?" in action
        if not lowered.startswith("sts:") or not (wild or lowered in lower_names("sts")):
            raise MalformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")


def _check_rcp(statement: ParsedStatement) -> None:
    """Allow what Organizations allows: denials for everyone, and AWS's own RCPFullAWSAccess.

    Organizations user guide, "RCP syntax": Principal is `*` alone; a customer's statement has the
    effect Deny, no NotAction, and no `*` alone as its action.
    """
    everyone = statement.principal == PrincipalElement(everyone=True)
    if not everyone or statement.not_action:
        raise MalformedPolicy("This resource control policy has a prohibited element.")
    full_access = statement.actions == ("*",) and statement.resources == ("*",)
    if statement.allow:
        if not full_access or statement.not_resource or statement.conditions:
            raise MalformedPolicy("A resource control policy may only deny.")
    elif "*" in statement.actions:
        raise MalformedPolicy("A resource control policy must name the services it denies.")
