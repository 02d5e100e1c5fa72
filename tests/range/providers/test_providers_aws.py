"""The AWS types on the range's AWS: all that a program writes is there, and drift shows."""

# ruff: noqa: FBT003 - a column of the table holds what was written, which may be a boolean
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pulumi
import pulumi_aws as aws
import pytest

from iamrange.engine.aws_types.package import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

# the SDK's own modules warn of its deprecated types when they are imported
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws")

# clients and their answers are whatever the cloud's own library makes of them
Answer = Any
Live = Any


class Drift(NamedTuple):
    """One input of one resource: what was written, how it is read, how it is spoiled."""

    resource: str
    input: str
    written: Answer
    read: Callable[[Live], Answer]
    spoil: Callable[[Live], Answer]


ACCOUNT = "100000000001"


def policy(action: str, **more: Answer) -> dict[str, Answer]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*", **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(service: str) -> dict[str, Answer]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def resource_policy(action: str, resource: str = "*") -> dict[str, Answer]:
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    return policy(action, Principal=principal, Resource=resource)


TAGS = {"owner": "range", "part": "one"}


def declare() -> None:
    iam, sm, orgs = aws.iam, aws.secretsmanager, aws.organizations
    cap = iam.Policy(
        "policy", name="cap", policy=json.dumps(policy("s3:*")), description="d", tags=TAGS
    )
    other = iam.Policy("other-policy", name="other", policy=json.dumps(policy("sqs:*")))
    role = iam.Role(
        "role",
        name="role",
        assume_role_policy=json.dumps(trust("ec2.amazonaws.com")),
        description="as written",
        max_session_duration=7200,
        permissions_boundary=cap.arn,
        inline_policies=[iam.RoleInlinePolicyArgs(name="own", policy=json.dumps(policy("s3:*")))],
        managed_policy_arns=[cap.arn],
        tags=TAGS,
    )
    plain = iam.Role(
        "plain-role", name="plain", assume_role_policy=json.dumps(trust("ec2.amazonaws.com"))
    )
    iam.RolePolicy("role-policy", name="inline", role=plain.name, policy=policy_text("s3:*"))
    iam.RolePolicyAttachment("role-attachment", role=plain.name, policy_arn=cap.arn)
    user = iam.User("user", name="user", path="/u/", permissions_boundary=cap.arn, tags=TAGS)
    iam.UserPolicy("user-policy", name="inline", user=user.name, policy=policy_text("s3:*"))
    iam.UserPolicyAttachment("user-attachment", user=user.name, policy_arn=cap.arn)
    iam.AccessKey("access-key", user=user.name)
    group = iam.Group("group", name="group", path="/g/")
    iam.GroupPolicy("group-policy", name="inline", group=group.name, policy=policy_text("s3:*"))
    iam.GroupPolicyAttachment("group-attachment", group=group.name, policy_arn=cap.arn)
    iam.GroupMembership("group-members", group=group.name, users=[user.name], name="m")
    second, third = iam.Group("second-group", name="second"), iam.Group("third-group", name="third")
    member = iam.User("member", name="member")
    iam.UserGroupMembership("user-groups", user=member.name, groups=[second.name, third.name])
    iam.OpenIdConnectProvider(
        "oidc",
        url="https://idp.example.com",
        client_id_lists=["one", "two"],
        thumbprint_lists=["a" * 40],
        tags=TAGS,
    )
    key = aws.kms.Key(
        "key",
        description="as written",
        policy=json.dumps(resource_policy("kms:*")),
        enable_key_rotation=True,
        deletion_window_in_days=7,
        tags=TAGS,
    )
    enabled = aws.kms.Key("enabled-key", deletion_window_in_days=7)
    aws.kms.Key("disabled-key", deletion_window_in_days=7, is_enabled=False)
    aws.kms.Alias("alias", name="alias/range", target_key_id=key.arn)
    secret = sm.Secret(
        "secret",
        name="secret",
        description="as written",
        kms_key_id=enabled.arn,
        policy=json.dumps(resource_policy("secretsmanager:GetSecretValue")),
        recovery_window_in_days=0,
        tags=TAGS,
    )
    sm.SecretVersion(
        "version", secret_id=secret.id, secret_string="first", version_stages=["AWSCURRENT", "mine"]
    )
    guarded = sm.Secret("guarded", name="guarded", recovery_window_in_days=0)
    sm.SecretPolicy(
        "secret-policy",
        secret_arn=guarded.arn,
        policy=json.dumps(resource_policy("secretsmanager:GetSecretValue")),
    )
    bucket = aws.s3.Bucket(
        "bucket",
        bucket="range-bucket",
        force_destroy=True,
        policy=json.dumps(resource_policy("s3:GetObject", "arn:aws:s3:::range-bucket/*")),
        versioning=aws.s3.BucketVersioningArgs(enabled=True),
        tags=TAGS,
    )
    aws.s3.BucketV2(
        "bucket-v2",
        bucket="range-bucket-v2",
        policy=json.dumps(resource_policy("s3:GetObject", "arn:aws:s3:::range-bucket-v2/*")),
        tags=TAGS,
    )
    open_bucket = aws.s3.Bucket("open-bucket", bucket="range-open-bucket", force_destroy=True)
    aws.s3.BucketPolicy(
        "bucket-policy",
        bucket=open_bucket.bucket,
        policy=json.dumps(resource_policy("s3:GetObject", "arn:aws:s3:::range-open-bucket/*")),
    )
    aws.s3.BucketPublicAccessBlock(
        "block",
        bucket=open_bucket.bucket,
        block_public_acls=True,
        block_public_policy=False,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    aws.s3.BucketObjectv2(
        "object",
        bucket=bucket.bucket,
        key="a/text",
        content="as written",
        content_type="text/plain",
        cache_control="no-store",
        metadata={"meta": "data"},
        tags=TAGS,
    )
    aws.s3.BucketObjectv2(
        "object-base64", bucket=bucket.bucket, key="base64", content_base64="YXMgd3JpdHRlbg=="
    )
    aws.s3.BucketObjectv2(
        "object-asset",
        bucket=bucket.bucket,
        key="asset",
        source=pulumi.StringAsset("as written"),
    )
    organization = orgs.Organization(
        "organization",
        feature_set="ALL",
        enabled_policy_types=["SERVICE_CONTROL_POLICY"],
        aws_service_access_principals=["sso.amazonaws.com"],
    )
    root = organization.roots[0].id
    unit = orgs.OrganizationalUnit("unit", name="unit", parent_id=root, tags=TAGS)
    account = orgs.Account(
        "account", name="account", email="account@example.com", parent_id=unit.id, tags=TAGS
    )
    scp = orgs.Policy(
        "scp",
        name="scp",
        description="as written",
        content=json.dumps(policy("s3:*")),
        tags=TAGS,
        opts=pulumi.ResourceOptions(depends_on=[organization]),
    )
    orgs.PolicyAttachment("scp-attachment", policy_id=scp.id, target_id=account.id)
    pulumi.export("arns", {"other": other.arn, "role": role.arn})


def declare_tables() -> None:
    table = aws.dynamodb.Table(
        "table",
        name="table",
        billing_mode="PROVISIONED",
        read_capacity=3,
        write_capacity=4,
        hash_key="id",
        range_key="at",
        attributes=[
            aws.dynamodb.TableAttributeArgs(name="id", type="S"),
            aws.dynamodb.TableAttributeArgs(name="at", type="N"),
        ],
        stream_enabled=True,
        stream_view_type="KEYS_ONLY",
        ttl=aws.dynamodb.TableTtlArgs(attribute_name="until", enabled=True),
        point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
        tags=TAGS,
    )
    for name in ("on-demand", "quiet"):
        aws.dynamodb.Table(
            name,
            name=name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="id",
            attributes=[aws.dynamodb.TableAttributeArgs(name="id", type="S")],
        )
    aws.dynamodb.TableItem(
        "item",
        table_name=table.name,
        hash_key="id",
        range_key="at",
        item=json.dumps({"id": {"S": "1"}, "at": {"N": "2"}, "what": {"S": "as written"}}),
    )


def declare_trails() -> None:
    bucket = aws.s3.Bucket("trail-bucket", bucket="range-trail", force_destroy=True)
    aws.s3.Bucket("other-trail-bucket", bucket="range-other-trail", force_destroy=True)
    aws.cloudtrail.Trail(
        "trail",
        name="range",
        s3_bucket_name=bucket.bucket,
        enable_logging=True,
        enable_log_file_validation=True,
        include_global_service_events=True,
        is_multi_region_trail=True,
        tags=TAGS,
    )
    aws.cloudtrail.Trail(
        "quiet-trail", name="quiet", s3_bucket_name=bucket.bucket, enable_logging=False
    )


def policy_text(action: str) -> str:
    return json.dumps(policy(action))


def tag_map(tags: list[dict[str, str]], key: str = "Key", value: str = "Value") -> dict[str, str]:
    return {tag[key]: tag[value] for tag in tags}


HAND = [{"Key": "made", "Value": "by hand"}]
HAND_JSON = policy_text("ec2:*")
OTHER_ARN = f"arn:aws:iam::{ACCOUNT}:policy/other"
CAP_ARN = f"arn:aws:iam::{ACCOUNT}:policy/cap"
OIDC_ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example.com"


def _iam(call: Callable[[Answer], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("iam"))


def _role(name: str) -> Callable[[Live], Answer]:
    return _iam(lambda iam: iam.get_role(RoleName="role")["Role"].get(name))


def _boundary(kind: str, name: str) -> Callable[[Live], Answer]:
    def read(live: Live) -> Answer:
        operation = getattr(live.client("iam"), f"get_{kind}")
        found = operation(**{f"{kind.capitalize()}Name": name})[kind.capitalize()]
        return found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")

    return read


def _inline(kind: str, owner: str) -> Callable[[Live], Answer]:
    named = {f"{kind.capitalize()}Name": owner, "PolicyName": "inline"}
    operation = f"get_{kind}_policy"
    return _iam(lambda iam: getattr(iam, operation)(**named)["PolicyDocument"])


def _spoil_inline(kind: str, owner: str) -> Callable[[Live], Answer]:
    named = {f"{kind.capitalize()}Name": owner, "PolicyName": "inline"}
    operation = f"put_{kind}_policy"
    return _iam(lambda iam: getattr(iam, operation)(**named, PolicyDocument=HAND_JSON))


IAM = [
    Drift(
        "policy",
        "policy",
        policy("s3:*"),
        _iam(
            lambda iam: iam.get_policy_version(
                PolicyArn=CAP_ARN,
                VersionId=iam.get_policy(PolicyArn=CAP_ARN)["Policy"]["DefaultVersionId"],
            )["PolicyVersion"]["Document"]
        ),
        _iam(
            lambda iam: iam.create_policy_version(
                PolicyArn=CAP_ARN, PolicyDocument=HAND_JSON, SetAsDefault=True
            )
        ),
    ),
    Drift(
        "policy",
        "tags",
        TAGS,
        _iam(lambda iam: tag_map(iam.get_policy(PolicyArn=CAP_ARN)["Policy"]["Tags"])),
        _iam(lambda iam: iam.tag_policy(PolicyArn=CAP_ARN, Tags=HAND)),
    ),
    Drift(
        "role",
        "assumeRolePolicy",
        trust("ec2.amazonaws.com"),
        _role("AssumeRolePolicyDocument"),
        _iam(
            lambda iam: iam.update_assume_role_policy(
                RoleName="role", PolicyDocument=json.dumps(trust("lambda.amazonaws.com"))
            )
        ),
    ),
    Drift(
        "role",
        "description",
        "as written",
        _role("Description"),
        _iam(
            lambda iam: iam.update_role(
                RoleName="role", Description="by hand", MaxSessionDuration=7200
            )
        ),
    ),
    Drift(
        "role",
        "maxSessionDuration",
        7200,
        _role("MaxSessionDuration"),
        _iam(
            lambda iam: iam.update_role(
                RoleName="role", Description="by hand", MaxSessionDuration=3600
            )
        ),
    ),
    Drift(
        "role",
        "permissionsBoundary",
        CAP_ARN,
        _boundary("role", "role"),
        _iam(
            lambda iam: iam.put_role_permissions_boundary(
                RoleName="role", PermissionsBoundary=OTHER_ARN
            )
        ),
    ),
    Drift(
        "role",
        "inlinePolicies",
        ["own"],
        _iam(lambda iam: iam.list_role_policies(RoleName="role")["PolicyNames"]),
        _iam(
            lambda iam: iam.put_role_policy(
                RoleName="role", PolicyName="hand", PolicyDocument=HAND_JSON
            )
        ),
    ),
    Drift(
        "role",
        "managedPolicyArns",
        [CAP_ARN],
        _iam(
            lambda iam: [
                p["PolicyArn"]
                for p in iam.list_attached_role_policies(RoleName="role")["AttachedPolicies"]
            ]
        ),
        _iam(lambda iam: iam.attach_role_policy(RoleName="role", PolicyArn=OTHER_ARN)),
    ),
    Drift(
        "role",
        "tags",
        TAGS,
        _iam(lambda iam: tag_map(iam.get_role(RoleName="role")["Role"]["Tags"])),
        _iam(lambda iam: iam.tag_role(RoleName="role", Tags=HAND)),
    ),
    *(
        Drift(
            f"{kind}-policy",
            "policy",
            policy("s3:*"),
            _inline(kind, owner),
            _spoil_inline(kind, owner),
        )
        for kind, owner in (("role", "plain"), ("user", "user"), ("group", "group"))
    ),
    Drift(
        "user",
        "path",
        "/u/",
        _iam(lambda iam: iam.get_user(UserName="user")["User"]["Path"]),
        _iam(lambda iam: iam.update_user(UserName="user", NewPath="/hand/")),
    ),
    Drift(
        "user",
        "permissionsBoundary",
        CAP_ARN,
        _boundary("user", "user"),
        _iam(
            lambda iam: iam.put_user_permissions_boundary(
                UserName="user", PermissionsBoundary=OTHER_ARN
            )
        ),
    ),
    Drift(
        "user",
        "tags",
        TAGS,
        _iam(lambda iam: tag_map(iam.list_user_tags(UserName="user")["Tags"])),
        _iam(lambda iam: iam.tag_user(UserName="user", Tags=HAND)),
    ),
    Drift(
        "access-key",
        "status",
        "Active",
        _iam(lambda iam: iam.list_access_keys(UserName="user")["AccessKeyMetadata"][0]["Status"]),
        lambda live: live.client("iam").update_access_key(
            UserName="user", AccessKeyId=live.ids["access-key"], Status="Inactive"
        ),
    ),
    Drift(
        "group-members",
        "users",
        ["user"],
        _iam(lambda iam: [u["UserName"] for u in iam.get_group(GroupName="group")["Users"]]),
        _iam(lambda iam: iam.add_user_to_group(GroupName="group", UserName="member")),
    ),
    Drift(
        "user-groups",
        "groups",
        {"second", "third"},
        _iam(
            lambda iam: (
                {g["GroupName"] for g in iam.list_groups_for_user(UserName="member")["Groups"]}
                - {"group"}
            )
        ),
        _iam(lambda iam: iam.remove_user_from_group(GroupName="second", UserName="member")),
    ),
    Drift(
        "oidc",
        "clientIdLists",
        ["one", "two"],
        lambda live: sorted(_oidc(live)["ClientIDList"]),
        _iam(
            lambda iam: iam.add_client_id_to_open_id_connect_provider(
                OpenIDConnectProviderArn=OIDC_ARN, ClientID="hand"
            )
        ),
    ),
    Drift(
        "oidc",
        "thumbprintLists",
        ["a" * 40],
        lambda live: _oidc(live)["ThumbprintList"],
        _iam(
            lambda iam: iam.update_open_id_connect_provider_thumbprint(
                OpenIDConnectProviderArn=OIDC_ARN, ThumbprintList=["b" * 40]
            )
        ),
    ),
    Drift(
        "oidc",
        "tags",
        TAGS,
        lambda live: tag_map(_oidc(live)["Tags"]),
        _iam(
            lambda iam: iam.tag_open_id_connect_provider(
                OpenIDConnectProviderArn=OIDC_ARN, Tags=HAND
            )
        ),
    ),
]


def _oidc(live: Live) -> Answer:
    iam = live.client("iam")
    return iam.get_open_id_connect_provider(OpenIDConnectProviderArn=OIDC_ARN)


def _key(name: str, resource: str = "key") -> Callable[[Live], Answer]:
    def read(live: Live) -> Answer:
        described = live.client("kms").describe_key(KeyId=live.ids[resource])
        return described["KeyMetadata"][name]

    return read


KMS = [
    Drift(
        "key",
        "description",
        "as written",
        _key("Description"),
        lambda live: live.client("kms").update_key_description(
            KeyId=live.ids["key"], Description="by hand"
        ),
    ),
    Drift(
        "key",
        "policy",
        resource_policy("kms:*"),
        lambda live: json.loads(
            live.client("kms").get_key_policy(KeyId=live.ids["key"], PolicyName="default")["Policy"]
        ),
        lambda live: live.client("kms").put_key_policy(
            KeyId=live.ids["key"],
            PolicyName="default",
            Policy=json.dumps({**resource_policy("kms:*"), "Id": "by-hand"}),
        ),
    ),
    Drift(
        "key",
        "tags",
        TAGS,
        lambda live: tag_map(
            live.client("kms").list_resource_tags(KeyId=live.ids["key"])["Tags"],
            "TagKey",
            "TagValue",
        ),
        lambda live: live.client("kms").tag_resource(
            KeyId=live.ids["key"], Tags=[{"TagKey": "made", "TagValue": "by hand"}]
        ),
    ),
    Drift(
        "enabled-key",
        "enableKeyRotation",
        False,
        lambda live: live.client("kms").get_key_rotation_status(KeyId=live.ids["enabled-key"])[
            "KeyRotationEnabled"
        ],
        lambda live: live.client("kms").enable_key_rotation(KeyId=live.ids["enabled-key"]),
    ),
    Drift(
        "disabled-key",
        "isEnabled",
        False,
        _key("Enabled", "disabled-key"),
        lambda live: live.client("kms").enable_key(KeyId=live.ids["disabled-key"]),
    ),
    Drift(
        "alias",
        "targetKeyId",
        True,
        lambda live: any(
            alias["AliasName"] == "alias/range" and alias["TargetKeyId"] == live.ids["key"]
            for alias in live.client("kms").list_aliases()["Aliases"]
        ),
        lambda live: live.client("kms").update_alias(
            AliasName="alias/range", TargetKeyId=live.ids["enabled-key"]
        ),
    ),
]


def _secret(call: Callable[[Answer], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("secretsmanager"))


SECRETS = [
    Drift(
        "secret",
        "description",
        "as written",
        _secret(lambda sm: sm.describe_secret(SecretId="secret")["Description"]),
        _secret(lambda sm: sm.update_secret(SecretId="secret", Description="by hand")),
    ),
    Drift(
        "secret",
        "kmsKeyId",
        True,
        lambda live: (
            live.client("secretsmanager")
            .describe_secret(SecretId="secret")["KmsKeyId"]
            .endswith(live.ids["enabled-key"])
        ),
        lambda live: live.client("secretsmanager").update_secret(
            SecretId="secret", KmsKeyId=live.ids["key"]
        ),
    ),
    Drift(
        "secret",
        "policy",
        resource_policy("secretsmanager:GetSecretValue"),
        _secret(lambda sm: json.loads(sm.get_resource_policy(SecretId="secret")["ResourcePolicy"])),
        _secret(
            lambda sm: sm.put_resource_policy(
                SecretId="secret",
                ResourcePolicy=json.dumps(resource_policy("secretsmanager:*")),
            )
        ),
    ),
    Drift(
        "secret",
        "tags",
        TAGS,
        _secret(lambda sm: tag_map(sm.describe_secret(SecretId="secret")["Tags"])),
        _secret(lambda sm: sm.tag_resource(SecretId="secret", Tags=HAND)),
    ),
    Drift(
        "version",
        "versionStages",
        True,
        lambda live: "mine" in _stages(live),
        lambda live: live.client("secretsmanager").update_secret_version_stage(
            SecretId="secret",
            VersionStage="mine",
            RemoveFromVersionId=live.ids["version"].split("|")[1],
        ),
    ),
    Drift(
        "secret-policy",
        "policy",
        resource_policy("secretsmanager:GetSecretValue"),
        _secret(
            lambda sm: json.loads(sm.get_resource_policy(SecretId="guarded")["ResourcePolicy"])
        ),
        _secret(
            lambda sm: sm.put_resource_policy(
                SecretId="guarded",
                ResourcePolicy=json.dumps(resource_policy("secretsmanager:*")),
            )
        ),
    ),
]


def _stages(live: Live) -> list[str]:
    described = live.client("secretsmanager").describe_secret(SecretId="secret")
    stages: list[str] = described["VersionIdsToStages"][live.ids["version"].split("|")[1]]
    return stages


def _s3(call: Callable[[Answer], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("s3"))


def _put_by_hand(**more: Answer) -> Callable[[Live], Answer]:
    spoiled = {
        "Body": b"by hand",
        "ContentType": "text/html",
        "CacheControl": "public",
        "Metadata": {"meta": "by hand"},
        "Tagging": "made=by-hand",
        **more,
    }
    return _s3(lambda s3: s3.put_object(Bucket="range-bucket", **spoiled))


def _object(key: str, name: str) -> Callable[[Live], Answer]:
    return _s3(lambda s3: s3.head_object(Bucket="range-bucket", Key=key).get(name))


def _body(key: str) -> Callable[[Live], Answer]:
    return _s3(lambda s3: s3.get_object(Bucket="range-bucket", Key=key)["Body"].read())


def _blocks(name: str) -> Callable[[Live], Answer]:
    return _s3(
        lambda s3: s3.get_public_access_block(Bucket="range-open-bucket")[
            "PublicAccessBlockConfiguration"
        ][name]
    )


def _bucket_policy(bucket: str) -> Callable[[Live], Answer]:
    return _s3(lambda s3: json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]))


def _spoil_bucket_policy(bucket: str) -> Callable[[Live], Answer]:
    document = json.dumps(resource_policy("s3:*", f"arn:aws:s3:::{bucket}/*"))
    return _s3(lambda s3: s3.put_bucket_policy(Bucket=bucket, Policy=document))


def _bucket_tags(bucket: str) -> Callable[[Live], Answer]:
    return _s3(lambda s3: tag_map(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]))


def _spoil_bucket_tags(bucket: str) -> Callable[[Live], Answer]:
    return _s3(lambda s3: s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": HAND}))


_OPENED = {
    "BlockPublicAcls": False,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": False,
    "RestrictPublicBuckets": False,
}
S3 = [
    *(
        Drift(
            resource,
            "tags",
            TAGS,
            _bucket_tags(name),
            _spoil_bucket_tags(name),
        )
        for resource, name in (("bucket", "range-bucket"), ("bucket-v2", "range-bucket-v2"))
    ),
    *(
        Drift(
            resource,
            "policy",
            resource_policy("s3:GetObject", f"arn:aws:s3:::{name}/*"),
            _bucket_policy(name),
            _spoil_bucket_policy(name),
        )
        for resource, name in (
            ("bucket", "range-bucket"),
            ("bucket-v2", "range-bucket-v2"),
            ("bucket-policy", "range-open-bucket"),
        )
    ),
    Drift(
        "bucket",
        "versioning",
        "Enabled",
        _s3(lambda s3: s3.get_bucket_versioning(Bucket="range-bucket").get("Status")),
        _s3(
            lambda s3: s3.put_bucket_versioning(
                Bucket="range-bucket", VersioningConfiguration={"Status": "Suspended"}
            )
        ),
    ),
    *(
        Drift(
            "block",
            name[0].lower() + name[1:],
            not opened,
            _blocks(name),
            _s3(
                lambda s3: s3.put_public_access_block(
                    Bucket="range-open-bucket", PublicAccessBlockConfiguration=_OPENED
                )
            ),
        )
        for name, opened in _OPENED.items()
    ),
    Drift("object", "content", b"as written", _body("a/text"), _put_by_hand(Key="a/text")),
    *(
        Drift("object", name, written, _object("a/text", theirs), _put_by_hand(Key="a/text"))
        for name, theirs, written in (
            ("contentType", "ContentType", "text/plain"),
            ("cacheControl", "CacheControl", "no-store"),
            ("metadata", "Metadata", {"meta": "data"}),
        )
    ),
    Drift(
        "object",
        "tags",
        TAGS,
        _s3(
            lambda s3: tag_map(s3.get_object_tagging(Bucket="range-bucket", Key="a/text")["TagSet"])
        ),
        _put_by_hand(Key="a/text"),
    ),
    Drift(
        "object-base64", "contentBase64", b"as written", _body("base64"), _put_by_hand(Key="base64")
    ),
    Drift("object-asset", "source", b"as written", _body("asset"), _put_by_hand(Key="asset")),
]


def _table(call: Callable[[Answer], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("dynamodb"))


def _described(name: str = "table") -> Callable[[Live], Answer]:
    return lambda live: live.client("dynamodb").describe_table(TableName=name)["Table"]


def _capacity(name: str) -> Callable[[Live], Answer]:
    return lambda live: _described()(live)["ProvisionedThroughput"][name]


_THROUGHPUT = {"ReadCapacityUnits": 30, "WriteCapacityUnits": 40}
_ITEM = {"id": {"S": "1"}, "at": {"N": "2"}}
_STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
DYNAMODB = [
    Drift(
        "table",
        "readCapacity",
        3,
        _capacity("ReadCapacityUnits"),
        _table(lambda db: db.update_table(TableName="table", ProvisionedThroughput=_THROUGHPUT)),
    ),
    Drift(
        "table",
        "writeCapacity",
        4,
        _capacity("WriteCapacityUnits"),
        _table(lambda db: db.update_table(TableName="table", ProvisionedThroughput=_THROUGHPUT)),
    ),
    Drift(
        "on-demand",
        "billingMode",
        "PAY_PER_REQUEST",
        lambda live: _described("on-demand")(live)["BillingModeSummary"]["BillingMode"],
        _table(
            lambda db: db.update_table(
                TableName="on-demand", BillingMode="PROVISIONED", ProvisionedThroughput=_THROUGHPUT
            )
        ),
    ),
    Drift(
        "on-demand",
        "deletionProtectionEnabled",
        False,
        lambda live: _described("on-demand")(live)["DeletionProtectionEnabled"],
        _table(lambda db: db.update_table(TableName="on-demand", DeletionProtectionEnabled=True)),
    ),
    Drift(
        "on-demand",
        "streamEnabled",
        False,
        lambda live: bool(
            _described("on-demand")(live).get("StreamSpecification", {}).get("StreamEnabled")
        ),
        _table(lambda db: db.update_table(TableName="on-demand", StreamSpecification=_STREAM)),
    ),
    Drift(
        "quiet",
        "streamViewType",
        None,
        lambda live: _described("quiet")(live).get("StreamSpecification", {}).get("StreamViewType"),
        _table(lambda db: db.update_table(TableName="quiet", StreamSpecification=_STREAM)),
    ),
    Drift(
        "table",
        "ttl",
        "ENABLED",
        _table(
            lambda db: db.describe_time_to_live(TableName="table")["TimeToLiveDescription"][
                "TimeToLiveStatus"
            ]
        ),
        _table(
            lambda db: db.update_time_to_live(
                TableName="table",
                TimeToLiveSpecification={"Enabled": False, "AttributeName": "until"},
            )
        ),
    ),
    Drift(
        "table",
        "pointInTimeRecovery",
        "ENABLED",
        _table(
            lambda db: db.describe_continuous_backups(TableName="table")[
                "ContinuousBackupsDescription"
            ]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        ),
        _table(
            lambda db: db.update_continuous_backups(
                TableName="table",
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False},
            )
        ),
    ),
    Drift(
        "table",
        "tags",
        TAGS,
        lambda live: tag_map(
            live.client("dynamodb").list_tags_of_resource(
                ResourceArn=_described()(live)["TableArn"]
            )["Tags"]
        ),
        lambda live: live.client("dynamodb").tag_resource(
            ResourceArn=_described()(live)["TableArn"], Tags=HAND
        ),
    ),
    Drift(
        "item",
        "item",
        {**_ITEM, "what": {"S": "as written"}},
        _table(lambda db: db.get_item(TableName="table", Key=_ITEM)["Item"]),
        _table(lambda db: db.put_item(TableName="table", Item={**_ITEM, "what": {"S": "by hand"}})),
    ),
]


def _orgs(call: Callable[[Answer, dict[str, str]], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("organizations"), live.ids)


def _org_tags(resource: str) -> Drift:
    return Drift(
        resource,
        "tags",
        TAGS,
        _orgs(
            lambda orgs, ids: tag_map(orgs.list_tags_for_resource(ResourceId=ids[resource])["Tags"])
        ),
        _orgs(lambda orgs, ids: orgs.tag_resource(ResourceId=ids[resource], Tags=HAND)),
    )


def _summary(name: str) -> Callable[[Live], Answer]:
    return _orgs(
        lambda orgs, ids: orgs.describe_policy(PolicyId=ids["scp"])["Policy"]["PolicySummary"][name]
    )


def _root(orgs: Answer) -> Answer:
    return orgs.list_roots()["Roots"][0]


_SCP_BY_HAND = {"Name": "by-hand", "Description": "by hand", "Content": HAND_JSON}
ORGANIZATIONS = [
    Drift(
        "organization",
        "enabledPolicyTypes",
        True,
        _orgs(
            lambda orgs, _ids: (
                [kind["Type"] for kind in _root(orgs)["PolicyTypes"]] == ["SERVICE_CONTROL_POLICY"]
            )
        ),
        _orgs(
            lambda orgs, _ids: orgs.enable_policy_type(
                RootId=_root(orgs)["Id"], PolicyType="RESOURCE_CONTROL_POLICY"
            )
        ),
    ),
    Drift(
        "organization",
        "awsServiceAccessPrincipals",
        ["sso.amazonaws.com"],
        _orgs(
            lambda orgs, _ids: [
                item["ServicePrincipal"]
                for item in orgs.list_aws_service_access_for_organization()[
                    "EnabledServicePrincipals"
                ]
            ]
        ),
        _orgs(
            lambda orgs, _ids: orgs.enable_aws_service_access(
                ServicePrincipal="cloudtrail.amazonaws.com"
            )
        ),
    ),
    Drift(
        "unit",
        "name",
        "unit",
        _orgs(
            lambda orgs, ids: orgs.describe_organizational_unit(OrganizationalUnitId=ids["unit"])[
                "OrganizationalUnit"
            ]["Name"]
        ),
        _orgs(
            lambda orgs, ids: orgs.update_organizational_unit(
                OrganizationalUnitId=ids["unit"], Name="by-hand"
            )
        ),
    ),
    _org_tags("unit"),
    _org_tags("account"),
    _org_tags("scp"),
    Drift(
        "account",
        "parentId",
        True,
        _orgs(
            lambda orgs, ids: (
                orgs.list_parents(ChildId=ids["account"])["Parents"][0]["Id"] == ids["unit"]
            )
        ),
        _orgs(
            lambda orgs, ids: orgs.move_account(
                AccountId=ids["account"],
                SourceParentId=ids["unit"],
                DestinationParentId=_root(orgs)["Id"],
            )
        ),
    ),
    *(
        Drift(
            "scp",
            name,
            written,
            _summary(theirs),
            _orgs(lambda orgs, ids: orgs.update_policy(PolicyId=ids["scp"], **_SCP_BY_HAND)),
        )
        for name, theirs, written in (
            ("name", "Name", "scp"),
            ("description", "Description", "as written"),
        )
    ),
    Drift(
        "scp",
        "content",
        policy("s3:*"),
        _orgs(
            lambda orgs, ids: json.loads(
                orgs.describe_policy(PolicyId=ids["scp"])["Policy"]["Content"]
            )
        ),
        _orgs(lambda orgs, ids: orgs.update_policy(PolicyId=ids["scp"], **_SCP_BY_HAND)),
    ),
]


def _trail(call: Callable[[Answer], Answer]) -> Callable[[Live], Answer]:
    return lambda live: call(live.client("cloudtrail"))


def _of_trail(name: str) -> Callable[[Live], Answer]:
    return _trail(lambda trails: trails.get_trail(Name="range")["Trail"][name])


def _trail_by_hand(**changes: Answer) -> Callable[[Live], Answer]:
    return _trail(lambda trails: trails.update_trail(Name="range", **changes))


def _trail_arn(trails: Answer) -> Answer:
    return trails.get_trail(Name="range")["Trail"]["TrailARN"]


TRAILS = [
    Drift(
        "trail",
        "s3BucketName",
        "range-trail",
        _of_trail("S3BucketName"),
        _trail_by_hand(S3BucketName="range-other-trail"),
    ),
    Drift(
        "trail",
        "isMultiRegionTrail",
        True,
        _of_trail("IsMultiRegionTrail"),
        _trail_by_hand(IsMultiRegionTrail=False),
    ),
    Drift(
        "trail",
        "includeGlobalServiceEvents",
        True,
        _of_trail("IncludeGlobalServiceEvents"),
        _trail_by_hand(IncludeGlobalServiceEvents=False),
    ),
    Drift(
        "trail",
        "enableLogFileValidation",
        True,
        _of_trail("LogFileValidationEnabled"),
        _trail_by_hand(EnableLogFileValidation=False),
    ),
    Drift(
        "trail",
        "enableLogging",
        True,
        _trail(lambda trails: trails.get_trail_status(Name="range")["IsLogging"]),
        _trail(lambda trails: trails.stop_logging(Name="range")),
    ),
    Drift(
        "quiet-trail",
        "enableLogging",
        False,
        _trail(lambda trails: trails.get_trail_status(Name="quiet")["IsLogging"]),
        _trail(lambda trails: trails.start_logging(Name="quiet")),
    ),
    Drift(
        "trail",
        "tags",
        TAGS,
        _trail(
            lambda trails: tag_map(
                trails.list_tags(ResourceIdList=[_trail_arn(trails)])["ResourceTagList"][0][
                    "TagsList"
                ]
            )
        ),
        _trail(lambda trails: trails.add_tags(ResourceId=_trail_arn(trails), TagsList=HAND)),
    ),
]


FAMILIES: dict[str, tuple[Callable[[], None], list[Drift], tuple[str, ...]]] = {
    "identity-and-storage": (
        declare,
        [*IAM, *KMS, *SECRETS, *S3, *ORGANIZATIONS],
        ("aws:iam/", "aws:kms/", "aws:secretsmanager/", "aws:s3/", "aws:organizations/"),
    ),
    "tables": (declare_tables, DYNAMODB, ("aws:dynamodb/",)),
    "trails": (declare_trails, TRAILS, ("aws:cloudtrail/",)),
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_input_drift_of_aws_shows_in_refresh_and_is_put_right(
    family: str, engine: Callable[..., Answer], aws_cloud: Answer, prove_drift: Callable[..., None]
) -> None:
    program, drifts, modules = FAMILIES[family]
    types = [kind for kind in TYPES if kind.token.startswith(modules)]
    prove_drift(engine(program), drifts, types, aws_cloud.client)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_aws_resources_can_be_imported_and_their_loss_shows(
    family: str, prove_import_and_loss: Callable[..., None]
) -> None:
    # an organisation with members cannot be deleted
    prove_import_and_loss(
        FAMILIES[family][0], {"organization"} if family == "identity-and-storage" else set()
    )


def test_every_type_of_aws_is_in_one_family() -> None:
    modules = [module for _, _, names in FAMILIES.values() for module in names]
    homes = {t.token: [m for m in modules if t.token.startswith(m)] for t in TYPES}
    assert {token: found for token, found in homes.items() if len(found) != 1} == {}
