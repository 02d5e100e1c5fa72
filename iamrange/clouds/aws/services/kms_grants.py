"""Grants on KMS keys, as the statements that they amount to.

- A grant is no part of the key's policy: it allows by itself, within what its constraints say.
- https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.elements import parse_principal
from iamrange.clouds.aws.malformed import MalformedPolicy
from iamrange.clouds.aws.model import AwsError
from iamrange.clouds.aws.policy import PolicyKind
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.resources import Key

# Operations that take no encryption context, which constraints therefore do not touch.
_WITHOUT_CONTEXT = frozenset(
    [
        "DescribeKey",
        "GetPublicKey",
        "RetireGrant",
        "Sign",
        "Verify",
        "GenerateMac",
        "VerifyMac",
        "DeriveSharedSecret",
    ]
)


def grants_on(key: Key) -> CompiledPolicy | None:
    """Return what the grants on a key allow; None when there is none."""
    statements = [statement for grant in key.grants for statement in _statements(grant)]
    if not statements:
        return None
    # The older version of the language: a `${` in an encryption context is no variable.
    document = {"Version": "2008-10-17", "Statement": statements}
    return compiled(json.dumps(document), PolicyKind.RESOURCE, f"{key.arn} grants")


def bad_grant(request: AwsRequest) -> AwsError | None:
    """Refuse a grant to, or retired by, what is no principal: stored, it could not be read."""
    if request.operation != "CreateGrant":
        return None
    for member in ("GranteePrincipal", "RetiringPrincipal"):
        named = request.parameters.get(member)
        if named is None:
            continue
        try:
            parse_principal({"AWS": named if str(named).startswith("arn:") else ""})
        except MalformedPolicy:
            message = f"ARN does not refer to a valid principal: {named}"
            return AwsError(code="InvalidArnException", message=message, status=400)
    return None


def _statements(grant: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # the emulator has no types
    operations = [str(name) for name in grant.operations]
    constrained = _condition(grant.constraints or {})
    plain = [name for name in operations if not constrained or name in _WITHOUT_CONTEXT]
    plain = [name for name in plain if name != "CreateGrant"]
    if plain:
        yield _statement(grant, plain, {})
    if constrained:
        bound = set(operations) - _WITHOUT_CONTEXT - {"CreateGrant"}
        if bound:
            yield _statement(grant, sorted(bound), constrained)
    elif "CreateGrant" in operations:
        # A grant made under a grant may not go beyond it; whether constraints do is not judged
        # here, so that a constrained grant hands nothing on.
        within = {"ForAllValues:StringEquals": {"kms:GrantOperations": operations}}
        yield _statement(grant, ["CreateGrant"], within)
    if grant.retiring_principal:
        yield _statement(grant, ["RetireGrant"], {}) | {
            "Principal": {"AWS": grant.retiring_principal}
        }


def _statement(grant: Any, operations: list[str], condition: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  # the emulator has no types
    return {
        "Sid": f"Grant{grant.id}",
        "Effect": "Allow",
        "Principal": {"AWS": grant.grantee_principal},
        "Action": [f"kms:{name}" for name in operations],
        "Resource": "*",
        "Condition": condition,
    }


def _condition(constraints: dict[str, Any]) -> dict[str, Any]:
    exact = constraints.get("EncryptionContextEquals")
    wanted = exact or constraints.get("EncryptionContextSubset")
    if not wanted:
        return {}
    condition: dict[str, Any] = {
        "StringEquals": {f"kms:EncryptionContext:{name}": value for name, value in wanted.items()}
    }
    if exact:
        condition["ForAllValues:StringEquals"] = {"kms:EncryptionContextKeys": list(exact)}
    return condition
