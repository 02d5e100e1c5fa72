# ruff: noqa: ANN401  # boto3's clients and their parameters have no types
"""KMS: encryption context, via services, grants and who may make them, aliases, tags, origin."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from tests.conformance.aws.lab import (
    HOME,
    OTHER,
    REGION,
    ROOT,
    Call,
    Cases,
    Lab,
    Record,
    allow,
    cond,
    deny,
    document,
    gets,
    unique,
)

case = Cases("kms keys and grants")
CONTEXT = {"purpose": "test", "team": "red"}


def key(lab: Lab, **more: Any) -> str:
    return str(lab.admin.kms.create_key(**more)["KeyMetadata"]["Arn"])


def uses(lab: Lab, operation: str, own: dict[str, Any], **asked: Any) -> Call:
    """Use a new key as a user with one statement."""
    made = key(lab, Tags=[{"TagKey": "team", "TagValue": "red"}])
    who = lab.user(own)
    return lambda: getattr(who.kms, operation)(KeyId=made, **asked)


def encrypts(**condition: Any) -> dict[str, Any]:
    return allow("kms:Encrypt", Condition=condition)


PLAIN = {"Plaintext": b"x"}
KEYS = "kms:EncryptionContextKeys"
for _title, _own, _asked, _allowed in (
    (
        "context by its value",
        encrypts(StringEquals={"kms:EncryptionContext:team": "red"}),
        {"EncryptionContext": CONTEXT},
        True,
    ),
    (
        "context's key in another case",
        encrypts(StringEquals={"kms:EncryptionContext:TEAM": "red"}),
        {"EncryptionContext": CONTEXT},
        True,
    ),
    (
        "context's value in another case",
        encrypts(StringEquals={"kms:EncryptionContext:team": "RED"}),
        {"EncryptionContext": CONTEXT},
        False,
    ),
    (
        "context that is missing",
        encrypts(StringEquals={"kms:EncryptionContext:team": "red"}),
        {},
        False,
    ),
    (
        "context by the caller's name",
        encrypts(StringEquals={"kms:EncryptionContext:team": "${aws:username}"}),
        {"EncryptionContext": CONTEXT},
        False,
    ),
    (
        "context keys that are allowed",
        encrypts(**{"ForAllValues:StringEquals": {KEYS: ["team", "purpose"]}}),
        {"EncryptionContext": CONTEXT},
        True,
    ),
    (
        "context key that is not allowed",
        encrypts(**{"ForAllValues:StringEquals": {KEYS: ["team"]}}),
        {"EncryptionContext": CONTEXT},
        False,
    ),
    (
        "context key that is wanted",
        encrypts(**{"ForAnyValue:StringEquals": {KEYS: ["team"]}}),
        {"EncryptionContext": CONTEXT},
        True,
    ),
    ("no context is wanted", encrypts(Null={KEYS: "false"}), {}, False),
    ("tag of the key", encrypts(StringEquals={"aws:ResourceTag/team": "red"}), {}, True),
    ("other tag of the key", encrypts(StringEquals={"aws:ResourceTag/team": "blue"}), {}, False),
    (
        "through a service only",
        encrypts(StringEquals={"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
        {},
        False,
    ),
    ("through no service", encrypts(Null={"kms:ViaService": "true"}), {}, True),
    ("account of the caller", encrypts(StringEquals={"kms:CallerAccount": HOME}), {}, True),
    ("account of another caller", encrypts(StringEquals={"kms:CallerAccount": OTHER}), {}, False),
    ("kind of key", encrypts(StringEquals={"kms:KeySpec": "SYMMETRIC_DEFAULT"}), {}, True),
    ("other kind of key", encrypts(StringEquals={"kms:KeySpec": "RSA_2048"}), {}, False),
    ("use of the key", encrypts(StringEquals={"kms:KeyUsage": "ENCRYPT_DECRYPT"}), {}, True),
    ("origin of the key", encrypts(StringEquals={"kms:KeyOrigin": "EXTERNAL"}), {}, False),
    ("one region's key", encrypts(Bool={"kms:MultiRegion": "false"}), {}, True),
):
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, asked=_asked: uses(lab, "encrypt", own, **PLAIN, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def aliased(lab: Lab, wanted: str) -> Call:
    made, name = key(lab), f"alias/{unique('app')}"
    lab.admin.kms.create_alias(AliasName=name, TargetKeyId=made)
    own = cond("ForAnyValue:StringLike", "kms:ResourceAliases", wanted.format(name))
    who = lab.user(allow("kms:Encrypt", **own))
    return lambda: who.kms.encrypt(KeyId=name, Plaintext=b"x")


case("alias of the key", allowed=True)(lambda lab: aliased(lab, "{}"))
case("another alias", allowed=False)(lambda lab: aliased(lab, "{}x"))


def by_alias_arn(lab: Lab) -> Call:
    """A policy on an alias's ARN does not mean the key (KMS developer guide)."""
    made, name = key(lab), f"alias/{unique('app')}"
    lab.admin.kms.create_alias(AliasName=name, TargetKeyId=made)
    who = lab.user(allow("kms:Encrypt", f"arn:aws:kms:{REGION}:{HOME}:{name}"))
    return lambda: who.kms.encrypt(KeyId=name, Plaintext=b"x")


case("policy on the alias is none on the key", allowed=False)(by_alias_arn)


def grants(lab: Lab, own: dict[str, Any], **asked: Any) -> Call:
    made, to = key(lab), lab.user()
    who = lab.user(own)
    whole: dict[str, Any] = {"Operations": ["Decrypt"], **asked}
    return lambda: who.kms.create_grant(KeyId=made, GranteePrincipal=to.arn, **whole)


def creates(**condition: Any) -> dict[str, Any]:
    return allow("kms:CreateGrant", Condition=condition)


OPERATIONS = {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]}}
SUBSET = {"StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset"}}
GRANTED: tuple[tuple[str, dict[str, Any], dict[str, Any], bool], ...] = (
    ("grant of an operation", creates(**OPERATIONS), {}, True),
    ("grant of another operation", creates(**OPERATIONS), {"Operations": ["Encrypt"]}, False),
    (
        "grant of one operation too many",
        creates(**OPERATIONS),
        {"Operations": ["Decrypt", "Encrypt"]},
        False,
    ),
    (
        "grant to a grantee",
        creates(ArnLike={"kms:GranteePrincipal": f"arn:aws:iam::{HOME}:user/*"}),
        {},
        True,
    ),
    (
        "grant to another grantee",
        creates(ArnLike={"kms:GranteePrincipal": f"arn:aws:iam::{OTHER}:*"}),
        {},
        False,
    ),
    (
        "grant under a constraint",
        creates(**SUBSET),
        {"Constraints": {"EncryptionContextSubset": CONTEXT}},
        True,
    ),
    ("grant without the constraint", creates(**SUBSET), {}, False),
    (
        "grant for an AWS resource only",
        creates(Bool={"kms:GrantIsForAWSResource": "true"}),
        {},
        False,
    ),
)
for _title, _own, _asked, _allowed in GRANTED:
    case(_title, allowed=_allowed)(
        lambda lab, own=_own, asked=_asked: grants(lab, own, **asked)  # type: ignore[misc]  # mypy reads no default in a lambda
    )


def granted(lab: Lab, *, end: str, context: dict[str, str] | None = None) -> Call:
    """Decrypt by a grant that has been ended in some way."""
    who, made = lab.user(), key(lab)
    blob = lab.admin.kms.encrypt(KeyId=made, **PLAIN, EncryptionContext=context or {})
    grant = lab.admin.kms.create_grant(
        KeyId=made, GranteePrincipal=who.arn, Operations=["Decrypt", "RetireGrant"]
    )
    call = functools.partial(
        who.kms.decrypt, CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=context or {}
    )
    call()
    if end == "revoked":
        lab.admin.kms.revoke_grant(KeyId=made, GrantId=grant["GrantId"])
    if end == "retired":
        who.kms.retire_grant(KeyId=made, GrantId=grant["GrantId"])
    if end == "disabled":
        lab.admin.kms.disable_key(KeyId=made)
    if end == "denied":
        policy = document(
            allow("kms:*", Principal={"AWS": ROOT}), deny("kms:Decrypt", Principal={"AWS": who.arn})
        )
        lab.admin.kms.put_key_policy(KeyId=made, PolicyName="default", Policy=policy)
    return call


case("grant that lives", allowed=True)(lambda lab: granted(lab, end=""))
case("grant that was revoked", allowed=False)(lambda lab: granted(lab, end="revoked"))
case("grant that was retired", allowed=False)(lambda lab: granted(lab, end="retired"))
case("grant on a key whose policy denies", allowed=False)(lambda lab: granted(lab, end="denied"))


def policy_of_a_key(lab: Lab, *statements: dict[str, Any], own: bool = True) -> Call:
    who = lab.user(*([allow("kms:*")] if own else []))
    made = key(lab)
    text = json.dumps(statements).replace("@who", who.arn)
    keeps = allow(["kms:PutKeyPolicy", "kms:Describe*"], Principal={"AWS": lab.admin.arn})
    lab.admin.kms.put_key_policy(
        KeyId=made, PolicyName="default", Policy=document(keeps, *json.loads(text))
    )
    return lambda: who.kms.encrypt(KeyId=made, Plaintext=b"x")


NAMED = allow("kms:Encrypt", Principal={"AWS": "@who"})
DELEGATED = allow("kms:*", Principal={"AWS": ROOT})
case("key's policy names the user", allowed=True)(
    lambda lab: policy_of_a_key(lab, NAMED, own=False)
)
case("key's policy names nobody", allowed=False)(policy_of_a_key)
case("key's policy hands over to IAM", allowed=True)(lambda lab: policy_of_a_key(lab, DELEGATED))
case("key's policy hands over, IAM is silent", allowed=False)(
    lambda lab: policy_of_a_key(lab, DELEGATED, own=False)
)
case("key's policy hands over on a condition", allowed=False)(
    lambda lab: policy_of_a_key(
        lab, DELEGATED | cond("StringEquals", "kms:ViaService", f"s3.{REGION}.amazonaws.com")
    )
)
case("key's policy denies the user", allowed=False)(
    lambda lab: policy_of_a_key(lab, DELEGATED, deny("kms:Encrypt", Principal={"AWS": "@who"}))
)


def sealed_object(lab: Lab, *own: dict[str, Any], write: bool = False) -> Call:
    made, bucket = key(lab), lab.bucket()
    sse = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": made}
    lab.admin.s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sse)
    who = lab.user(allow("s3:*"), *own)
    if write:
        return lambda: who.s3.put_object(Bucket=bucket, Key="k2", Body=b"x", **sse)
    return gets(who, bucket, "k")


THROUGH = cond("StringEquals", "kms:ViaService", f"s3.{REGION}.amazonaws.com")
case("object under a key, without the key", allowed=False)(sealed_object)
case("object under a key, with the key", allowed=True)(
    lambda lab: sealed_object(lab, allow("kms:Decrypt", **THROUGH))
)
case("object written under a key, without it", allowed=False)(
    lambda lab: sealed_object(lab, allow("kms:Decrypt"), write=True)
)
case("object written under a key, with it", allowed=True)(
    lambda lab: sealed_object(lab, allow("kms:GenerateDataKey", **THROUGH), write=True)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
