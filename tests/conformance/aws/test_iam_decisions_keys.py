# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""Access keys, and keys of KMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    READ,
    REGION,
    ROOT,
    Call,
    Cases,
    Lab,
    Principal,
    Record,
    allow,
    cond,
    deny,
    document,
    reads,
)

if TYPE_CHECKING:
    from collections.abc import Callable

case = Cases("keys and grants")


@case("inactive access key", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    lab.admin.iam.update_access_key(
        UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"], Status="Inactive"
    )
    return reads(who, secret)


@case("deleted access key", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    reads(who, secret)()
    lab.admin.iam.delete_access_key(UserName=who.name, AccessKeyId=who.keys["aws_access_key_id"])
    return reads(who, secret)


@case("deleted user", allowed=False)
def _(lab: Lab) -> Call:
    who, secret = lab.user(EVERYTHING), lab.secret()
    reads(who, secret)()
    lab.admin.iam.delete_user_policy(UserName=who.name, PolicyName="p")
    lab.admin.iam.delete_user(UserName=who.name)
    lab.admin.iam.create_user(UserName=who.name)
    lab.admin.iam.put_user_policy(
        UserName=who.name, PolicyName="p", PolicyDocument=document(EVERYTHING)
    )
    return reads(who, secret)


@case("unknown access key", allowed=False)
def _(lab: Lab) -> Call:
    keys = {"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA", "aws_secret_access_key": "x" * 40}
    return reads(Principal(lab, keys), lab.secret())


def decrypts(
    lab: Lab,
    *own: dict[str, Any],
    policy: Callable[[Principal], dict[str, Any]] | None = None,
    context: dict[str, str] | None = None,
) -> Call:
    who = lab.user(*own)
    context = context if context is not None else {}
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
    if policy is not None:
        lab.admin.kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(policy(who)))
    blob = sealed["CiphertextBlob"]
    return lambda: who.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)


OPEN = allow("kms:Decrypt")
PURPOSE = allow("kms:Decrypt", **cond("StringEquals", "kms:EncryptionContext:purpose", "test"))
case("default key policy, identity allows", allowed=True)(lambda lab: decrypts(lab, OPEN))
case("default key policy, identity silent", allowed=False)(decrypts)
case("key policy without the account", allowed=False)(
    lambda lab: decrypts(
        lab, EVERYTHING, policy=lambda _: allow("kms:*", Principal={"AWS": lab.admin.arn})
    )
)
case("key policy names the user", allowed=True)(
    lambda lab: decrypts(lab, policy=lambda w: allow("kms:*", Principal={"AWS": w.arn}))
)
case("encryption context match", allowed=True)(
    lambda lab: decrypts(lab, PURPOSE, context={"purpose": "test"})
)
case("encryption context mismatch", allowed=False)(
    lambda lab: decrypts(lab, PURPOSE, context={"purpose": "other"})
)


def sealed_secret(lab: Lab, *own: dict[str, Any]) -> Call:
    key = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    return reads(lab.user(*own), lab.secret(KmsKeyId=key))


VIA = allow(
    "kms:Decrypt",
    **cond("StringEquals", "kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"),
)
case("secret under a customer key, without the key", allowed=False)(
    lambda lab: sealed_secret(lab, allow(READ))
)
case("secret under a customer key, key via the service", allowed=True)(
    lambda lab: sealed_secret(lab, allow(READ), VIA)
)


def granted(lab: Lab, *operations: str) -> Call:
    who = lab.user()
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    lab.admin.kms.create_grant(KeyId=key, GranteePrincipal=who.arn, Operations=list(operations))
    return lambda: who.kms.decrypt(CiphertextBlob=blob)


def granted_abroad(lab: Lab, *own: dict[str, Any], **constraints: Any) -> Call:
    who = lab.user(*own, account=OTHER)
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"agent": "planner"}
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)
    lab.admin.kms.create_grant(
        KeyId=key, GranteePrincipal=who.arn, Operations=["Decrypt"], Constraints=constraints
    )
    return lambda: who.kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=context)


case("grant suffices in another account", allowed=True)(granted_abroad)
case("denial beats a grant", allowed=False)(lambda lab: granted_abroad(lab, deny("kms:*")))
case("grant under its constraint", allowed=True)(
    lambda lab: granted_abroad(lab, EncryptionContextSubset={"agent": "planner"})
)
case("grant outside its constraint", allowed=False)(
    lambda lab: granted_abroad(lab, EncryptionContextEquals={"agent": "other"})
)


def granted_account(lab: Lab, *own: dict[str, Any]) -> Call:
    who = lab.user(*own)
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    blob = lab.admin.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    lab.admin.kms.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Decrypt"])
    return lambda: who.kms.decrypt(CiphertextBlob=blob)


case("grant to an account, user allowed", allowed=True)(
    lambda lab: granted_account(lab, allow("kms:Decrypt"))
)
case("grant to an account, user not allowed", allowed=False)(granted_account)
case("grant to decrypt", allowed=True)(lambda lab: granted(lab, "Decrypt"))
case("grant to encrypt only", allowed=False)(lambda lab: granted(lab, "Encrypt"))


def foreign_key(lab: Lab, *own: dict[str, Any], shared: bool) -> Call:
    who = lab.user(*own, account=OTHER)
    key = lab.admin.kms.create_key()["KeyMetadata"]
    if shared:
        both = [allow("kms:*", Principal={"AWS": ROOT}), allow("kms:*", Principal={"AWS": who.arn})]
        lab.admin.kms.put_key_policy(
            KeyId=key["KeyId"], PolicyName="default", Policy=document(*both)
        )
    return lambda: who.kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")


case("cross-account key, both allow", allowed=True)(
    lambda lab: foreign_key(lab, allow("kms:*"), shared=True)
)
case("cross-account key, only identity", allowed=False)(
    lambda lab: foreign_key(lab, allow("kms:*"), shared=False)
)
case("cross-account key, only its policy", allowed=False)(lambda lab: foreign_key(lab, shared=True))


def foreign_table(lab: Lab, *, shared: bool) -> Call:
    who, name = lab.user(allow("dynamodb:*"), account=OTHER), lab.table()
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{name}"
    if shared:
        lab.admin.dynamodb.put_resource_policy(
            ResourceArn=arn,
            Policy=document(allow("dynamodb:GetItem", arn, Principal={"AWS": who.arn})),
        )
    return lambda: who.dynamodb.get_item(TableName=arn, Key={"pk": {"S": "x"}})


case("cross-account table, both allow", allowed=True)(lambda lab: foreign_table(lab, shared=True))
case("cross-account table, only identity", allowed=False)(
    lambda lab: foreign_table(lab, shared=False)
)


@pytest.mark.parametrize("title", case.table)
def test_request_is_decided_as_aws_decides_it(
    title: str, lab: Lab, record_property: Record
) -> None:
    case.judge(title, lab, record_property)
