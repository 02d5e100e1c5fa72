"""The elements of a statement that list strings: actions, resources, principals.

- Each parser takes any JSON value and raises nothing but `MalformedPolicy`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from iamrange.clouds.aws.arn import ARN_FIELDS, split_fields
from iamrange.clouds.aws.malformed import MalformedPolicy, syntax_error
from iamrange.clouds.aws.principals import PrincipalElement, account_of
from iamrange.clouds.aws.variables import Token, Variable, Wildcard, parse

PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f")

_VENDOR = re.compile(r"[A-Za-z0-9-]+|\*")
_WILD = re.compile(r"[*?]|\$\{")
_PRINCIPAL_ARN = re.compile(
    r"arn:[a-z0-9-]+:(?:"
    r"iam::(?:[0-9]{12}|cloudfront):(?:user|role)/[^*?]+"
    r"|sts::[0-9]{12}:(?:assumed-role/[^/*?]+/[^/*?]+|federated-user/[^/*?]+))"
)
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,124}")
_IAM_PATHS = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)


def strings(value: object, *, scalars: bool = False) -> tuple[str, ...]:
    """Read one string or a list of strings; with `scalars` also booleans and numbers.

    Raises:
        MalformedPolicy: the value is anything else.
    """
    members = value if isinstance(value, list | tuple) else [value]
    return tuple(_string(member, scalars=scalars) for member in members)


def _string(value: object, *, scalars: bool) -> str:
    if isinstance(value, str):
        return value
    if scalars and isinstance(value, bool):
        return "true" if value else "false"
    if scalars and isinstance(value, int | float):
        return str(value)
    raise syntax_error(f"expected a string, got {type(value).__name__}")


def parse_actions(value: object) -> tuple[str, ...]:
    """Read an Action or NotAction element.

    Raises:
        MalformedPolicy: it is missing, empty or not `service:Action`.
    """
    if value is None or value in ([], ()):
        raise MalformedPolicy("Policy statement must contain actions.")
    actions = strings(value)
    for action in actions:
        vendor, colon, name = action.partition(":")
        if action == "*":
            continue
        if not colon or not vendor:
            raise MalformedPolicy(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
            )
        if not _VENDOR.fullmatch(vendor):
            raise MalformedPolicy(f"Vendor {vendor} is not valid")
        if ":" in name:
            raise MalformedPolicy("Actions/Condition can contain only one colon.")
        if not name or name != name.strip():
            raise MalformedPolicy("The policy failed legacy parsing", f"action {action!r}")
    return actions


def parse_resources(value: object, *, of_resource: bool, complete: bool) -> tuple[str, ...]:
    """Read a Resource or NotResource element.

    Raises:
        MalformedPolicy: it is empty, or holds what is neither an ARN nor `*`; with `complete`
            also an ARN of fewer than six fields, which session policies do not take.
    """
    resources = strings(value)
    if not resources:
        raise MalformedPolicy("Policy statement must contain resources.")
    for resource in resources:
        if resource == "*":
            continue
        _check_arn(resource)
        fields = split_fields(parse(resource, variables=True, wildcards=True))
        if complete and len(fields) < ARN_FIELDS:
            raise MalformedPolicy(f'Resource {resource} must be in ARN format or "*".')
        if not of_resource and len(fields) == ARN_FIELDS:
            _check_service_rules(resource, fields)
    return resources


def _check_arn(resource: str) -> None:
    prefix, colon, rest = resource.partition(":")
    if prefix != "arn" or not colon or not rest:
        raise MalformedPolicy(f'Resource {resource} must be in ARN format or "*".')
    partition = rest.split(":", 1)[0]
    if partition not in PARTITIONS and not _WILD.search(partition):
        raise MalformedPolicy(f'Partition "{partition}" is not valid for resource "{resource}".')


def _check_service_rules(resource: str, fields: Sequence[tuple[Token, ...]]) -> None:
    """Refuse ARNs that can name nothing in the two services without regions."""
    service, region, path = fields[2], fields[3], fields[5]
    start = path[0] if path else ""
    literal = start if isinstance(start, str) else ""
    if service == ("iam",):
        if region:
            raise MalformedPolicy(f"IAM resource {resource} cannot contain region information.")
        known = literal == "root" or literal.startswith(_IAM_PATHS)
        if not known and not isinstance(start, Variable) and path != (Wildcard.MANY,):
            expected = ", ".join(_IAM_PATHS)
            raise MalformedPolicy(
                f'IAM resource path must either be "*" or start with {expected}.', resource
            )
    # Access points, jobs and the like have region and account; buckets and objects have neither.
    if service == ("s3",) and region and not fields[4]:
        raise MalformedPolicy(f"Resource {resource} can not contain region information.")


def parse_principal(value: object) -> PrincipalElement:
    """Read a Principal or NotPrincipal element.

    Raises:
        MalformedPolicy: it is empty, of an unknown type, or names what can be no principal.
    """
    if value == "*":
        return PrincipalElement(everyone=True)
    if not isinstance(value, Mapping) or not value:
        raise MalformedPolicy("Invalid principal in policy.", "expected '*' or an object")
    listed: dict[str, tuple[str, ...]] = {}
    for kind, members in value.items():
        if kind not in ("AWS", "Federated", "Service", "CanonicalUser"):
            raise MalformedPolicy("Invalid principal in policy.", f"principal type {kind!r}")
        listed[kind] = strings(members)
        if not listed[kind] or not all(listed[kind]):
            raise MalformedPolicy("Invalid principal in policy.", f"{kind} is empty")
    accounts, arns = _aws_principals(listed.get("AWS", ()))
    return PrincipalElement(
        aws_everyone="*" in listed.get("AWS", ()),
        arns=arns,
        accounts=accounts,
        federated=frozenset(listed.get("Federated", ())),
        services=frozenset(listed.get("Service", ())),
        canonical_users=frozenset(listed.get("CanonicalUser", ())),
    )


def _aws_principals(members: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    accounts: set[str] = set()
    arns: set[str] = set()
    for member in members:
        account = account_of(member)
        if account is not None:
            accounts.add(account)
        elif _PRINCIPAL_ARN.fullmatch(member) or _UNIQUE_ID.fullmatch(member):
            arns.add(member)
        elif member != "*":
            raise MalformedPolicy(f'Invalid principal in policy: "AWS":"{member}"')
    return frozenset(accounts), frozenset(arns)
