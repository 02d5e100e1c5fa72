"""Generated cases: a request, and policies of every layer, as JSON that both engines read.

- Words come from small sets, so that statements meet requests often.
- A case holds nothing but what the policy language has; whether a combination makes sense is not
  asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from iamrange.clouds.aws.decide import (
    Decision,
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
)

HOME, OTHER = "100000000002", "200000000001"
USER, ROLE = f"arn:aws:iam::{HOME}:user/alice", f"arn:aws:iam::{HOME}:role/agents/r"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/r/run"
ROOT = f"arn:aws:iam::{HOME}:root"
REGION = "us-east-1"
Document = dict[str, Any]

PRINCIPALS = {
    USER: Principal("user", USER, None, HOME),
    SESSION: Principal("assumed-role", SESSION, ROLE, HOME),
}
TARGETS = (
    ("s3:GetObject", "arn:aws:s3:::bucket/alice/key"),
    ("s3:PutObject", "arn:aws:s3:::bucket/team/x"),
    ("s3:ListBucket", "arn:aws:s3:::bucket"),
    ("kms:Decrypt", f"arn:aws:kms:{REGION}:{HOME}:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
    (
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{REGION}:{HOME}:secret:a/alice-AbCdEf",
    ),
    ("dynamodb:Query", f"arn:aws:dynamodb:{REGION}:{HOME}:table/t"),
    ("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{HOME}:q"),
    ("sns:Publish", f"arn:aws:sns:{REGION}:{HOME}:t"),
    ("iam:GetUser", USER),
    ("ec2:DescribeInstances", "*"),
)
TAGGED = ("secretsmanager:", "dynamodb:", "kms:")
_ACTIONS = (
    "*", "s3:*", "s3:Get*", "s3:GetObject", "S3:putobject", "s3:List*", "kms:Decrypt", "kms:*",
    "secretsmanager:Get*", "secretsmanager:?etSecretValue", "dynamodb:Query", "sqs:*",
    "sns:Publish", "iam:Get*", "iam:*", "ec2:Describe*",
)  # fmt: skip
_OF_A_SERVICE = tuple(
    one for one in _ACTIONS if one != "*" and not one.startswith(("iam", "ec2", "sns"))
)
_RESOURCES = (
    "*",
    "arn:aws:s3:::bucket",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::bucket/${aws:username}/*",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/team}/x",
    "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'team'}/?",
    "arn:aws:s3:::other/*",
    f"arn:aws:kms:*:{HOME}:key/*",
    f"arn:aws:secretsmanager:us-*-1:{HOME}:secret:a/*",
    "arn:aws:secretsmanager:*:*:secret:a/alice-??????",
    f"arn:aws:dynamodb:{REGION}:{HOME}:table/t",
    "arn:aws:sqs:*:*:q",
    "arn:aws:sns:*:*:t*",
    f"arn:aws:iam::{HOME}:user/${{aws:username}}",
)
_KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "aws:username": ("string", ("alice", "bob", "al*", "ALICE", "${aws:PrincipalTag/team}")),
    "aws:PrincipalTag/team": (
        "string", ("team", "blue", "te?m", "${aws:username}", "${aws:referer}"),
    ),
    "aws:RequestedRegion": ("string", ("us-east-1", "eu-*", "us-*")),
    "aws:ResourceTag/team": ("string", ("team", "${aws:PrincipalTag/team}", "blue")),
    "aws:SourceIp": ("ip", ("10.0.0.0/8", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32")),
    "aws:CurrentTime": ("date", ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-06-01")),
    "aws:EpochTime": ("number", ("1795618800", "1", "1795618800.5")),
    "aws:MultiFactorAuthAge": ("number", ("10", "100", "50")),
    "aws:SecureTransport": ("bool", ("true", "false")),
    "aws:PrincipalArn": (
        "arn",
        (USER, ROLE, "arn:aws:iam::*:role/*", "arn:aws:iam::*:user/*", f"arn:aws:iam::{HOME}:*"),
    ),
    "aws:TagKeys": ("string", ("a", "b", "a*", "A")),
}  # fmt: skip
_OPERATORS = {
    "string": (
        "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
        "StringLike", "StringNotLike",
    ),
    "ip": ("IpAddress", "NotIpAddress"),
    "date": (
        "DateEquals", "DateNotEquals", "DateLessThan", "DateGreaterThan", "DateLessThanEquals",
    ),
    "number": (
        "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThanEquals",
    ),
    "bool": ("Bool",),
    "arn": ("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike", "StringEquals"),
}  # fmt: skip
_CONTEXT: dict[str, tuple[str, ...]] = {
    "aws:username": ("alice", "bob"),
    "aws:PrincipalTag/team": ("team", "blue", "*"),
    "aws:ResourceTag/team": ("team", "blue"),
    "aws:SourceIp": ("10.1.2.3", "192.0.2.9", "2001:db8::1"),
    "aws:CurrentTime": ("2026-06-01T00:00:00Z",),
    "aws:EpochTime": ("1795618800",),
    "aws:SecureTransport": ("true", "false"),
    "aws:MultiFactorAuthAge": ("50",),
    "aws:RequestedRegion": ("us-east-1", "eu-west-1"),
}
_TAG_KEYS = (("a",), ("a", "b"), ("a", "c"), ("ab",))
_NAMED: tuple[Any, ...] = (
    "*", {"AWS": "*"}, {"AWS": HOME}, {"AWS": ROOT}, {"AWS": USER}, {"AWS": ROLE}, {"AWS": SESSION},
    {"AWS": OTHER}, {"AWS": [USER, ROLE]}, {"Service": "lambda.amazonaws.com"},
)  # fmt: skip
_SPARED: tuple[Any, ...] = (
    {"AWS": [USER, ROOT]}, {"AWS": [SESSION, ROLE, ROOT]}, {"AWS": [ROLE, ROOT]}, {"AWS": OTHER},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One request with all its policies."""

    principal: str
    action: str
    resource: str
    account: str
    context: dict[str, Any]
    identity: list[Document]
    boundary: Document | None
    session: Document | None
    scps: list[Document]
    rcps: list[Document]
    resource_policy: Document | None

    def to_json(self) -> dict[str, Any]:
        return {
            "principal": self.principal,
            "action": self.action,
            "resource": self.resource,
            "account": self.account,
            "context": self.context,
            "identity": self.identity,
            "boundary": self.boundary,
            "session": self.session,
            "scps": self.scps,
            "rcps": self.rcps,
            "resourcePolicy": self.resource_policy,
        }

    def documents(self) -> list[Document]:
        given = [*self.identity, self.boundary, self.session, *self.scps, *self.rcps]
        return [one for one in (*given, self.resource_policy) if one is not None]


def few(values: tuple[str, ...], most: int = 2) -> st.SearchStrategy[Any]:
    """Return one value, or a list of several."""
    listed = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)
    return listed.map(lambda found: found[0] if len(found) == 1 else found)


@st.composite
def _conditions(draw: st.DrawFn) -> Document:
    found: Document = {}
    for key in draw(st.lists(st.sampled_from(sorted(_KEYS)), max_size=2, unique=True)):
        kind, values = _KEYS[key]
        if draw(st.integers(0, 7)) == 0:
            found.setdefault("Null", {})[key] = draw(st.sampled_from(("true", "false")))
            continue
        operator = draw(st.sampled_from(_OPERATORS[kind]))
        if key == "aws:TagKeys":
            operator = draw(st.sampled_from(("ForAllValues:", "ForAnyValue:"))) + operator
        operator += draw(st.sampled_from(("", "", "", "IfExists")))
        found.setdefault(operator, {})[key] = draw(few(values))
    return found


@st.composite
def _statements(
    draw: st.DrawFn, *, principals: bool = False, effect: str | None = None
) -> Document:
    made: Document = {
        "Effect": effect or draw(st.sampled_from(("Allow", "Allow", "Allow", "Deny")))
    }
    made[draw(st.sampled_from(("Action", "Action", "Action", "NotAction")))] = draw(
        st.just("*") | few(_ACTIONS)
    )
    made[draw(st.sampled_from(("Resource", "Resource", "Resource", "NotResource")))] = draw(
        st.just("*") | few(_RESOURCES)
    )
    condition = draw(st.just({}) | _conditions())
    if condition:
        made["Condition"] = condition
    if principals:
        spares = made["Effect"] == "Deny" and draw(st.integers(0, 3)) == 0
        element = "NotPrincipal" if spares else "Principal"
        made[element] = draw(st.sampled_from(_SPARED if spares else _NAMED))
    return made


@st.composite
def _documents(draw: st.DrawFn, *, principals: bool = False, full: bool = False) -> Document:
    listed = draw(st.lists(_statements(principals=principals), min_size=1, max_size=3))
    if full:
        listed = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *listed]
    version = "2012-10-17" if full else draw(st.sampled_from(("2012-10-17",) * 7 + ("2008-10-17",)))
    return {"Version": version, "Statement": listed}


@st.composite
def _control(draw: st.DrawFn) -> Document:
    """Return an SCP: it allows all, mostly, and denies some."""
    denied = draw(st.lists(_statements(effect="Deny"), max_size=2))
    allowed = draw(st.lists(_statements(effect="Allow"), max_size=1))
    full = [{"Effect": "Allow", "Action": "*", "Resource": "*"}] if draw(st.integers(0, 4)) else []
    return {"Version": "2012-10-17", "Statement": [*full, *allowed, *denied] or [*full, _NOTHING]}


_NOTHING = {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}


@st.composite
def _resource_control(draw: st.DrawFn) -> Document:
    """Return an RCP: it denies actions of named services, to everyone."""
    made: Document = {"Effect": "Deny", "Principal": "*", "Action": draw(few(_OF_A_SERVICE))}
    made[draw(st.sampled_from(("Resource", "Resource", "NotResource")))] = draw(few(_RESOURCES))
    condition = draw(st.just({}) | _conditions())
    if condition:
        made["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [made]}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw one case."""
    action, resource = draw(st.sampled_from(TARGETS))
    principal = draw(st.sampled_from(sorted(PRINCIPALS)))
    session = principal == SESSION
    context: dict[str, Any] = {
        key: draw(st.sampled_from(values))
        for key, values in _CONTEXT.items()
        if draw(st.integers(0, 9)) < 7
    }
    if session:
        context.pop("aws:username", None)
    if not action.startswith(TAGGED):
        # The peer leaves the key out of requests on resources that AWS does not authorise by tags.
        context.pop("aws:ResourceTag/team", None)
    if draw(st.booleans()):
        context["aws:TagKeys"] = list(draw(st.sampled_from(_TAG_KEYS)))
    context["aws:PrincipalArn"] = ROLE if session else USER
    has_policy = not action.startswith(("iam:", "ec2:"))
    account = draw(st.sampled_from((HOME, HOME, HOME, OTHER))) if has_policy else HOME
    own = st.none() | _documents(principals=True)
    policy = draw(_documents(principals=True) if action.startswith("kms:") else own)
    return Case(
        principal=principal,
        action=action,
        resource=resource,
        account=account,
        context=context,
        identity=draw(st.lists(_documents(), max_size=2)),
        boundary=draw(st.none() | _documents(full=True) | _documents()),
        session=draw(st.none() | _documents(full=True)) if session else None,
        scps=draw(st.lists(_control(), max_size=2)),
        rcps=draw(st.lists(_resource_control(), max_size=1)) if has_policy else [],
        resource_policy=policy if has_policy else None,
    )


def ours(case: Case) -> Decision:
    """Decide a case by our engine."""
    kinds = PolicyKind
    full = {"Version": "2012-10-17", "Statement": [{**_ALL, "Principal": "*"}]}
    policies = PolicySet(
        identity=tuple(
            compile_policy(one, kind=kinds.IDENTITY, name=f"identity{number}")
            for number, one in enumerate(case.identity)
        ),
        boundary=compile_policy(case.boundary, kind=kinds.BOUNDARY, name="boundary")
        if case.boundary
        else None,
        session=(compile_policy(case.session, kind=kinds.SESSION, name="session"),)
        if case.session
        else None,
        scps=tuple(
            (compile_policy(one, kind=kinds.SCP, name=f"scp{number}"),)
            for number, one in enumerate(case.scps)
        ),
        # RCPFullAWSAccess is attached at every level, and cannot be detached.
        rcps=tuple(
            (
                compile_policy(full, kind=kinds.RESOURCE, name="RCPFullAWSAccess"),
                compile_policy(one, kind=kinds.RCP, name=f"rcp{number}"),
            )
            for number, one in enumerate(case.rcps)
        ),
        resource=compile_policy(case.resource_policy, kind=kinds.RESOURCE, name="resource")
        if case.resource_policy
        else None,
    )
    principal = PRINCIPALS[case.principal]
    asked = Request(case.action, case.resource, principal, case.account, case.context)
    return decide(asked, policies)


_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
