# ruff: noqa: ANN401  # boto3's clients and the elements of policies have no types
"""Answers that are more than yes or no."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conformance.aws.lab import (
    HOME,
    OTHER,
    READ,
    ROOT,
    Lab,
    allow,
    cond,
    deny,
    document,
    refusal_of,
    trusts,
    unique,
)


@pytest.mark.parametrize("grantee", ["nobody", "*", "arn:aws:iam::*:user/x", "arn:aws:s3:::b"])
def test_grant_to_no_principal_is_refused_and_spoils_no_key(grantee: str, lab: Lab) -> None:
    kms = lab.admin.kms
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    with pytest.raises(ClientError) as caught:
        kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])
    assert caught.value.response["Error"]["Code"] in ("InvalidArnException", "ValidationException")
    assert kms.encrypt(KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize(
    ("operator", "value"), [("NumericLessThan", 10), ("Bool", True), ("NumericEquals", [1, 2.5])]
)
def test_condition_values_may_be_numbers_and_booleans(operator: str, value: Any, lab: Lab) -> None:
    lab.user(allow("s3:*", **cond(operator, "aws:PrincipalTag/level", value)))


@pytest.mark.parametrize("action", ["sts:TagSessions", "s3:GetObject", "sts:Assume"])
def test_trust_policy_takes_no_action_that_sts_does_not_have(action: str, lab: Lab) -> None:
    with pytest.raises(ClientError) as caught:
        lab.role(trusts(ROOT, ["sts:AssumeRole", action]))
    assert caught.value.response["Error"]["Code"] == "MalformedPolicyDocument"


def test_delete_objects_is_answered_object_by_object(lab: Lab) -> None:
    bucket = lab.bucket()
    who = lab.user(allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/own/*"))
    wanted = {"Objects": [{"Key": "own/key"}, {"Key": "other"}]}
    got = who.s3.delete_objects(Bucket=bucket, Delete=wanted)
    assert [one["Key"] for one in got["Deleted"]] == ["own/key"]
    assert [(one["Key"], one["Code"]) for one in got["Errors"]] == [("other", "AccessDenied")]
    nothing = lab.user().s3.delete_objects(Bucket=bucket, Delete=wanted)
    assert "Deleted" not in nothing
    assert len(nothing["Errors"]) == 2


def test_batch_of_secrets_is_answered_secret_by_secret(lab: Lab) -> None:
    mine, other = lab.secret(), lab.secret()
    who = lab.user(allow("secretsmanager:BatchGetSecretValue"), allow(READ, mine))
    absent = "absent"
    got = who.secretsmanager.batch_get_secret_value(SecretIdList=[mine, other, absent])
    assert [one["ARN"] for one in got["SecretValues"]] == [mine]
    codes = {one["SecretId"]: one["ErrorCode"] for one in got["Errors"]}
    assert codes == {other: "AccessDeniedException", absent: "AccessDeniedException"}
    admin = lab.admin.secretsmanager
    got = admin.batch_get_secret_value(SecretIdList=[other, absent])
    assert [one["ErrorCode"] for one in got["Errors"]] == ["ResourceNotFoundException"]
    name = admin.describe_secret(SecretId=other)["Name"]
    filters = [{"Key": "name", "Values": [name]}]
    found = admin.batch_get_secret_value(Filters=filters)["SecretValues"]
    assert [one["ARN"] for one in found] == [other]
    listed = refusal_of(lambda: who.secretsmanager.batch_get_secret_value(Filters=filters))
    assert listed == ("AccessDeniedException", 400)


@pytest.mark.parametrize(
    ("service", "operation", "asked", "refusal"),
    [
        ("secretsmanager", "list_secrets", {}, ("MissingAuthenticationTokenException", 400)),
        ("dynamodb", "list_tables", {}, ("MissingAuthenticationTokenException", 400)),
        ("kms", "list_keys", {}, ("MissingAuthenticationTokenException", 400)),
        ("ssm", "describe_parameters", {}, ("MissingAuthenticationTokenException", 400)),
        ("organizations", "list_roots", {}, ("MissingAuthenticationTokenException", 400)),
        ("iam", "list_users", {}, ("MissingAuthenticationToken", 403)),
        ("sts", "get_caller_identity", {}, ("MissingAuthenticationToken", 403)),
        ("s3", "list_buckets", {}, ("AccessDenied", 403)),
        ("s3", "get_object", {"Bucket": "nobody-has-it", "Key": "k"}, ("AccessDenied", 403)),
    ],
)
def test_anonymous_call_is_refused_in_the_services_own_words(
    service: str, operation: str, asked: dict[str, Any], refusal: tuple[str, int], lab: Lab
) -> None:
    client = lab.client(service, config=Config(signature_version=UNSIGNED))
    assert refusal_of(lambda: getattr(client, operation)(**asked)) == refusal


def test_anonymous_read_brings_no_signature_version(lab: Lab) -> None:
    bucket = lab.bucket()
    everything = f"arn:aws:s3:::{bucket}/*"
    signed = {"StringNotEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}
    reading = allow("s3:GetObject", everything, Principal="*")
    nobody = lab.client("s3", config=Config(signature_version=UNSIGNED))
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(reading))
    nobody.get_object(Bucket=bucket, Key="own/key")
    unsigned = deny("s3:GetObject", everything, Principal="*", Condition=signed)
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=document(reading, unsigned))
    assert refusal_of(lambda: nobody.get_object(Bucket=bucket, Key="own/key"))[1] == 403
    lab.admin.s3.get_object(Bucket=bucket, Key="own/key")


def test_block_public_access_keeps_public_policies_out(lab: Lab) -> None:
    bucket, nobody = lab.bucket(), lab.client("s3", config=Config(signature_version=UNSIGNED))
    public = document(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*"))
    lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=public)
    nobody.get_object(Bucket=bucket, Key="own/key")
    settings = {"BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    lab.admin.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings)
    assert refusal_of(lambda: nobody.get_object(Bucket=bucket, Key="own/key"))[1] == 403
    again = lambda: lab.admin.s3.put_bucket_policy(Bucket=bucket, Policy=public)  # noqa: E731 - one line
    assert refusal_of(again) == ("AccessDenied", 403)
    secret = lab.secret()
    closed = refusal_of(
        lambda: lab.admin.secretsmanager.put_resource_policy(
            SecretId=secret,
            ResourcePolicy=document(allow(READ, Principal="*")),
            BlockPublicPolicy=True,
        )
    )
    assert closed == ("PublicPolicyException", 400)


def test_bucket_of_another_owner_than_expected_is_refused(lab: Lab) -> None:
    bucket = lab.bucket()
    asked = {"Bucket": bucket, "Key": "own/key"}
    lab.admin.s3.get_object(**asked, ExpectedBucketOwner=HOME)
    refused = refusal_of(lambda: lab.admin.s3.get_object(**asked, ExpectedBucketOwner=OTHER))
    assert refused == ("AccessDenied", 403)


def test_simulator_names_the_missing_keys_and_knows_groups(lab: Lab) -> None:
    name = unique("group")
    iam = lab.admin.iam
    iam.create_group(GroupName=name)
    statement = allow("s3:ListBucket", **cond("StringEquals", "s3:prefix", "home/"))
    iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=document(statement))
    arn = f"arn:aws:iam::{HOME}:group/{name}"
    asked = {"PolicySourceArn": arn, "ActionNames": ["s3:ListBucket"]}
    got = iam.simulate_principal_policy(**asked)["EvaluationResults"][0]
    assert (got["EvalDecision"], got["MissingContextValues"]) == ("implicitDeny", ["s3:prefix"])
    entry = {
        "ContextKeyName": "s3:prefix",
        "ContextKeyValues": ["home/"],
        "ContextKeyType": "string",
    }
    got = iam.simulate_principal_policy(**asked, ContextEntries=[entry])["EvaluationResults"][0]
    assert (got["EvalDecision"], got["MissingContextValues"]) == ("allowed", [])


def test_part_of_no_upload_is_refused(lab: Lab) -> None:
    asked = {"Bucket": lab.bucket(), "Key": "k", "UploadId": "gone"}
    part = functools.partial(lab.admin.s3.upload_part, **asked, PartNumber=1, Body=b"x")
    complete = functools.partial(
        lab.admin.s3.complete_multipart_upload,
        **asked,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "e"}]},
    )
    assert refusal_of(part) == refusal_of(complete) == ("NoSuchUpload", 404)


@pytest.mark.parametrize("value", [{}, {"S": "a", "N": "1"}])
def test_key_of_no_single_type_is_refused(value: dict[str, str], lab: Lab) -> None:
    table = lab.table()
    get = functools.partial(lab.admin.dynamodb.get_item, TableName=table, Key={"pk": value})
    write = functools.partial(
        lab.admin.dynamodb.batch_write_item,
        RequestItems={table: [{"PutRequest": {"Item": {"pk": value}}}]},
    )
    assert refusal_of(get)[1] == refusal_of(write)[1] == 400


def test_upload_is_finished_under_its_own_key_only(lab: Lab) -> None:
    bucket, s3 = lab.bucket(), lab.admin.s3
    started = s3.create_multipart_upload(Bucket=bucket, Key="private")["UploadId"]
    whole = {"Bucket": bucket, "UploadId": started}
    tag = s3.upload_part(**whole, Key="private", PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    mine = lab.user(allow("s3:*", f"arn:aws:s3:::{bucket}/public/*")).s3
    for call in (
        functools.partial(mine.upload_part, PartNumber=2, Body=b"y"),
        functools.partial(mine.complete_multipart_upload, MultipartUpload=parts),
        mine.abort_multipart_upload,
        mine.list_parts,
    ):
        refused = refusal_of(functools.partial(call, **whole, Key="public/x"))
        assert refused == ("NoSuchUpload", 404)
    s3.complete_multipart_upload(**whole, Key="private", MultipartUpload=parts)


def test_lists_of_iam_come_page_by_page(lab: Lab) -> None:
    iam = lab.admin.iam
    names = sorted(lab.user().name for _ in range(3))
    first = iam.list_users(MaxItems=2)
    assert (len(first["Users"]), first["IsTruncated"]) == (2, True)
    pages = iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2})
    found = [user["UserName"] for page in pages for user in page["Users"]]
    assert len(found) == len(set(found))
    assert set(names) <= set(found)
    assert refusal_of(lambda: iam.list_users(Marker="elsewhere")) == ("ValidationError", 400)
    groups = [unique("group") for _ in range(2)]
    for group in groups:
        iam.create_group(GroupName=group)
        iam.add_user_to_group(GroupName=group, UserName=names[0])
    page = iam.list_groups_for_user(UserName=names[0], MaxItems=1)
    assert (len(page["Groups"]), page["IsTruncated"]) == (1, True)
