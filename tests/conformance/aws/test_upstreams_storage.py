# boto3's clients have no types
"""What decisions turn on is held by the store, and read back from it: owner, tags, policies, keys.

- One table, for the embedded store and for every emulator.
- An emulator's listed gaps are held to both ways: what is listed must fail, all else must work.
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from iamrange.clouds.aws.resources import Key, MotoResources, Resource, Resources
from iamrange.clouds.aws.upstream import UpstreamError
from iamrange.clouds.aws.upstream_gaps import gaps, services_kept_embedded
from iamrange.clouds.aws.upstream_waiting import waiting
from tests.conformance.aws.lab import HOME, MANAGEMENT, OTHER, REGION, document, unique

if TYPE_CHECKING:
    from tests.conformance.aws.emulators import Located
    from tests.conformance.aws.lab import Lab

Read = Callable[[Callable[[Resources], Any]], Any]
Probe = Callable[["Lab", Read], None]

PROBES: dict[str, Probe] = {}
TAGGED = [{"Key": "team", "Value": "red"}]
RED = {"team": "red"}
ANYONE = {"AWS": f"arn:aws:iam::{OTHER}:root"}


def probe(operation: str) -> Callable[[Probe], Probe]:
    def keep(function: Probe) -> Probe:
        assert operation not in PROBES
        PROBES[operation] = function
        return function

    return keep


def shares(action: str, resource: str = "*") -> str:
    return document(
        {"Effect": "Allow", "Principal": ANYONE, "Action": action, "Resource": resource}
    )


def same(text: str | None, other: str) -> bool:
    return text is not None and json.loads(text) == json.loads(other)


def secret(resources: Resources, named: str) -> Resource | None:
    return resources.secret(HOME, REGION, named)


def key(resources: Resources, named: str) -> Key | None:
    return resources.key(HOME, REGION, named)


def table(resources: Resources, named: str) -> Resource | None:
    return resources.table(HOME, REGION, named)


@probe("secretsmanager:CreateSecret")
def _(lab: Lab, read: Read) -> None:
    key = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    arn = lab.secret(Tags=TAGGED, KmsKeyId=key)
    found = read(lambda r: r.secret(HOME, REGION, arn))
    assert (found.arn, found.account, found.tags, found.kms_key) == (arn, HOME, RED, key)
    name = lab.admin.secretsmanager.describe_secret(SecretId=arn)["Name"]
    assert read(lambda r: r.secret(HOME, REGION, name)).arn == arn
    assert read(lambda r: r.secret(OTHER, REGION, arn[:-7])).arn == arn
    assert read(lambda r: r.secret(OTHER, REGION, name)) is None
    for elsewhere in (
        arn.replace(REGION, "eu-west-1"),
        arn.replace(HOME, OTHER),
        f"{arn[:-6]}zzzzzz",
    ):
        assert read(functools.partial(secret, named=elsewhere)) is None
    filters = [{"Key": "name", "Values": [name]}]
    assert read(lambda r: r.secret_arns(HOME, REGION, filters)) == [arn]


@probe("secretsmanager:PutResourcePolicy")
def _(lab: Lab, read: Read) -> None:
    arn, policy = lab.secret(), shares("secretsmanager:GetSecretValue")
    assert read(lambda r: r.secret(HOME, REGION, arn)).policy is None
    lab.admin.secretsmanager.put_resource_policy(SecretId=arn, ResourcePolicy=policy)
    assert same(read(lambda r: r.secret(HOME, REGION, arn)).policy, policy)


@probe("kms:CreateKey")
def _(lab: Lab, read: Read) -> None:
    kms = lab.admin.kms
    policy = document(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    )
    tags = [{"TagKey": "team", "TagValue": "red"}]
    arn = kms.create_key(Tags=tags, Policy=policy)["KeyMetadata"]["Arn"]
    alias = f"alias/{unique('key')}"
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    for named in (arn, arn.rpartition("/")[2], alias, f"arn:aws:kms:{REGION}:{HOME}:{alias}"):
        found = read(functools.partial(key, named=named))
        assert (found.arn, found.tags, found.aliases) == (arn, RED, (alias,))
        assert (found.spec, found.usage, found.state) == (
            "SYMMETRIC_DEFAULT",
            "ENCRYPT_DECRYPT",
            "Enabled",
        )
        assert same(found.policy, policy)
    assert read(lambda r: r.key(OTHER, REGION, arn.rpartition("/")[2])) is None
    kms.disable_key(KeyId=arn)
    assert read(lambda r: r.key(HOME, REGION, arn)).state == "Disabled"


@probe("kms:PutKeyPolicy")
def _(lab: Lab, read: Read) -> None:
    arn = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    mine = json.loads(shares("kms:Decrypt"))["Statement"]
    policy = document(
        *mine,
        {
            "Effect": "Allow",
            "Principal": {"AWS": lab.admin.arn},
            "Action": "kms:*",
            "Resource": "*",
        },
    )
    lab.admin.kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy)
    assert same(read(lambda r: r.key(HOME, REGION, arn)).policy, policy)


@probe("kms:CreateGrant")
def _(lab: Lab, read: Read) -> None:
    arn = lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    grantee = lab.user(account=OTHER).arn
    subset = {"EncryptionContextSubset": {"agent": "planner"}}
    made = lab.admin.kms.create_grant(
        KeyId=arn,
        GranteePrincipal=grantee,
        RetiringPrincipal=lab.admin.arn,
        Operations=["Decrypt", "Encrypt"],
        Constraints=subset,
    )
    (grant,) = read(lambda r: r.key(HOME, REGION, arn)).grants
    assert (grant.id, grant.grantee_principal) == (made["GrantId"], grantee)
    assert grant.retiring_principal == lab.admin.arn
    assert set(grant.operations) == {"Decrypt", "Encrypt"}
    assert grant.constraints == subset
    lab.admin.kms.revoke_grant(KeyId=arn, GrantId=made["GrantId"])
    assert read(lambda r: r.key(HOME, REGION, arn)).grants == ()


@probe("kms:Encrypt")
def _(lab: Lab, read: Read) -> None:
    key = lab.admins[OTHER].kms.create_key()["KeyMetadata"]["Arn"]
    sealed = lab.admins[OTHER].kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert read(lambda r: r.sealing_key(REGION, sealed)).arn == key
    data = lab.admins[OTHER].kms.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
    assert read(lambda r: r.sealing_key(REGION, data)).arn == key
    assert (
        read(lambda r: r.sealing_key(REGION, b"no ciphertext at all, though long enough")) is None
    )


@probe("dynamodb:CreateTable")
def _(lab: Lab, read: Read) -> None:
    name = lab.table()
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{name}"
    lab.admin.dynamodb.tag_resource(ResourceArn=arn, Tags=TAGGED)
    for named in (name, arn, f"{arn}/index/i"):
        found = read(functools.partial(table, named=named))
        assert (found.arn, found.account, found.tags, found.policy) == (arn, HOME, RED, None)
    assert read(lambda r: r.table(OTHER, REGION, name)) is None
    schema = [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert read(lambda r: r.table_schema(arn, None)) == schema


@probe("dynamodb:PutResourcePolicy")
def _(lab: Lab, read: Read) -> None:
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{lab.table()}"
    policy = shares("dynamodb:GetItem", arn)
    lab.admin.dynamodb.put_resource_policy(ResourceArn=arn, Policy=policy)
    assert same(read(lambda r: r.table(HOME, REGION, arn)).policy, policy)


@probe("ssm:PutParameter")
def _(lab: Lab, read: Read) -> None:
    key = lab.admin.kms.create_key()["KeyMetadata"]["KeyId"]
    for place in ("", "/", "/two/levels/"):
        name = f"{place}{unique('parameter')}"
        lab.admin.ssm.put_parameter(
            Name=name, Value="v", Type="SecureString", KeyId=key, Tags=TAGGED
        )
        found = read(functools.partial(parameter, name=name))
        assert (found.tags, found.kms_key) == (RED, key)
        ending = found.arn.partition(":parameter/")[2]
        known = read(functools.partial(parameter_name, place=ending))
        assert known.lstrip("/") == name.lstrip("/")
        if name.startswith("/two/"):
            assert name in read(lambda r: r.parameter_names(HOME, REGION, "/two"))


def parameter(resources: Resources, name: str) -> Resource:
    return resources.parameter(HOME, REGION, name)


def parameter_name(resources: Resources, place: str) -> str:
    return resources.parameter_name(HOME, REGION, place)


@probe("sqs:SetQueueAttributes")
def _(lab: Lab, read: Read) -> None:
    name = unique("queue")
    url = lab.admin.sqs.create_queue(QueueName=name, tags=RED)["QueueUrl"]
    assert url.startswith(f"http://127.0.0.1:{lab.edge.port}/") or "amazonaws.com" in url
    policy = shares("sqs:SendMessage", f"arn:aws:sqs:{REGION}:{HOME}:{name}")
    lab.admin.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    found = read(lambda r: r.queue(HOME, REGION, name))
    assert (found.arn, found.tags) == (f"arn:aws:sqs:{REGION}:{HOME}:{name}", RED)
    assert same(found.policy, policy)
    assert read(lambda r: r.queue(OTHER, REGION, name)) is None


@probe("sns:SetTopicAttributes")
def _(lab: Lab, read: Read) -> None:
    arn = lab.admin.sns.create_topic(Name=unique("topic"), Tags=TAGGED)["TopicArn"]
    policy = shares("sns:Publish", arn)
    lab.admin.sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    found = read(lambda r: r.topic(arn))
    assert (found.arn, found.account, found.tags) == (arn, HOME, RED)
    assert same(found.policy, policy)


@probe("s3:CreateBucket")
def _(lab: Lab, read: Read) -> None:
    name, key = lab.bucket(OTHER), "an object/with ü+%"
    s3 = lab.admins[OTHER].s3
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": TAGGED})
    s3.put_object(Bucket=name, Key=key, Body=b"x", Tagging="team=red")
    found = read(lambda r: r.bucket(name))
    assert (found.account, found.tags, found.policy) == (OTHER, RED, None)
    assert read(lambda r: r.has_object(name, key, None))
    assert not read(lambda r: r.has_object(name, "another", None))
    assert read(lambda r: r.object_tags(name, key, None)) == RED
    assert read(lambda r: r.bucket(f"{name}x")) is None
    upload = s3.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
    assert read(lambda r: r.has_upload(name, key, upload))
    assert not read(lambda r: r.has_upload(name, "another", upload))
    assert not read(lambda r: r.has_upload(name, key, "none"))


@probe("s3:PutBucketPolicy")
def _(lab: Lab, read: Read) -> None:
    name = lab.bucket()
    policy = shares("s3:GetObject", f"arn:aws:s3:::{name}/*")
    lab.admin.s3.put_bucket_policy(Bucket=name, Policy=policy)
    assert same(read(lambda r: r.bucket(name)).policy, policy)
    assert same(lab.admin.s3.get_bucket_policy(Bucket=name)["Policy"], policy)
    nobody = {
        "Effect": "Deny",
        "Principal": ANYONE,
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{name}/*",
        "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}},
    }
    lab.admin.s3.put_bucket_policy(Bucket=name, Policy=document(nobody))
    assert lab.admin.s3.get_object(Bucket=name, Key="own/key")["Body"].read() == b"content"


@probe("s3:DeleteBucketPolicy")
def _(lab: Lab, read: Read) -> None:
    name = lab.bucket()
    lab.admin.s3.put_bucket_policy(
        Bucket=name, Policy=shares("s3:GetObject", f"arn:aws:s3:::{name}/*")
    )
    lab.admin.s3.delete_bucket_policy(Bucket=name)
    assert read(lambda r: r.bucket(name)).policy is None


@probe("s3:PutPublicAccessBlock")
def _(lab: Lab, read: Read) -> None:
    name = lab.bucket()
    settings = {"BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    lab.admin.s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=settings)
    found = read(lambda r: r.bucket(name))
    assert (found.block_public_policy, found.restrict_public_policy) == (True, True)


@probe("s3:PutBucketEncryption")
def _(lab: Lab, read: Read) -> None:
    name, key = lab.bucket(), lab.admin.kms.create_key()["KeyMetadata"]["Arn"]
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    }
    lab.admin.s3.put_bucket_encryption(
        Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    assert read(lambda r: r.bucket(name)).kms_key == key
    lab.admin.s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert read(lambda r: r.object_key(name, "k", None)) == key


def packed(source: str = "x = 1") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.py", source)
    return content.getvalue()


def function(lab: Lab) -> tuple[str, str]:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role, name = lab.role(trust), unique("function")
    lab.admin.lambda_.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=role,
        Handler="a.x",
        Code={"ZipFile": packed()},
        Tags=RED,
    )
    return name, role


@probe("lambda:CreateFunction")
def _(lab: Lab, read: Read) -> None:
    name, role = function(lab)
    assert read(lambda r: r.function_tags(HOME, REGION, name)) == RED
    assert read(lambda r: r.function_role(HOME, REGION, name)) == role
    assert read(lambda r: r.function_role(OTHER, REGION, name)) is None


@probe("ec2:CreateTags")
def _(lab: Lab, read: Read) -> None:
    made = lab.admin.ec2.run_instances(
        ImageId="ami-12c6146b",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": TAGGED}],
    )
    ident = made["Instances"][0]["InstanceId"]
    assert read(lambda r: r.ec2_tags(HOME, REGION, ident)) == RED
    lab.admin.ec2.create_tags(Resources=[ident], Tags=[{"Key": "team", "Value": "blue"}])
    assert read(lambda r: r.ec2_tags(HOME, REGION, ident)) == {"team": "blue"}
    assert read(lambda r: r.ec2_tags(OTHER, REGION, ident)) == {}


def trusted_by(lab: Lab, service: str) -> str:
    return lab.role(
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    )


@probe("lambda:AddPermission")
def _(lab: Lab, read: Read) -> None:
    name, _ = function(lab)
    assert read(lambda r: r.function_policy(HOME, REGION, name)) is None
    lab.admin.lambda_.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER
    )
    policy = read(lambda r: r.function_policy(HOME, REGION, name))
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert OTHER in json.dumps(statement["Principal"])


@probe("lambda:UpdateFunctionCode")
def _(lab: Lab, read: Read) -> None:
    name, role = function(lab)
    before = lab.admin.lambda_.get_function_configuration(FunctionName=name)["CodeSha256"]
    lab.admin.lambda_.update_function_code(FunctionName=name, ZipFile=packed("x = 2"))
    after = lab.admin.lambda_.get_function_configuration(FunctionName=name)["CodeSha256"]
    assert after != before
    assert read(lambda r: r.function_role(HOME, REGION, name)) == role


@probe("logs:PutResourcePolicy")
def _(lab: Lab, read: Read) -> None:
    logs, name = lab.admin.logs, unique("group")
    logs.create_log_group(logGroupName=name, tags=RED)
    arn = f"arn:aws:logs:{REGION}:{HOME}:log-group:{name}"
    assert read(lambda r: r.resource_tags("logs", HOME, REGION, arn)) == RED
    policy = shares("logs:PutLogEvents", f"{arn}:*")
    logs.put_resource_policy(policyName=unique("policy"), policyDocument=policy)
    assert any(same(one, policy) for one in read(lambda r: r.log_policies(HOME, REGION)))


@probe("events:PutPermission")
def _(lab: Lab, read: Read) -> None:
    events, name = lab.admin.events, unique("bus")
    arn = events.create_event_bus(Name=name, Tags=TAGGED)["EventBusArn"]
    assert read(lambda r: r.resource_tags("events", HOME, REGION, arn)) == RED
    events.put_permission(
        EventBusName=name, Action="events:PutEvents", Principal=OTHER, StatementId="s"
    )
    policy = read(lambda r: r.bus_policy(HOME, REGION, name))
    (statement,) = json.loads(policy)["Statement"]
    assert (statement["Sid"], statement["Action"]) == ("s", "events:PutEvents")


@probe("ecr:SetRepositoryPolicy")
def _(lab: Lab, read: Read) -> None:
    ecr, name = lab.admin.ecr, unique("images")
    arn = ecr.create_repository(repositoryName=name, tags=TAGGED)["repository"]["repositoryArn"]
    assert read(lambda r: r.resource_tags("ecr", HOME, REGION, arn)) == RED
    statement = {"Effect": "Allow", "Principal": ANYONE, "Action": "ecr:BatchGetImage"}
    ecr.set_repository_policy(repositoryName=name, policyText=document(statement))
    policy = read(lambda r: r.repository_policy(HOME, REGION, name))
    assert same(policy, document(statement))


@probe("ecs:RegisterTaskDefinition")
def _(lab: Lab, read: Read) -> None:
    role, family = trusted_by(lab, "ecs-tasks.amazonaws.com"), unique("family")
    container = {"name": "c", "image": "i", "memory": 64}
    made = lab.admin.ecs.register_task_definition(
        family=family, taskRoleArn=role, containerDefinitions=[container]
    )["taskDefinition"]["taskDefinitionArn"]
    assert read(lambda r: r.task_definition(HOME, REGION, made)) == (made, (role,))
    assert read(lambda r: r.task_definition(HOME, REGION, family)) == (made, (role,))
    assert read(lambda r: r.task_definition(HOME, REGION, "nothing")) is None


@probe("stepfunctions:CreateStateMachine")
def _(lab: Lab, read: Read) -> None:
    steps = {"StartAt": "s", "States": {"s": {"Type": "Pass", "End": True}}}
    arn = lab.admin.stepfunctions.create_state_machine(
        name=unique("machine"),
        definition=json.dumps(steps),
        roleArn=trusted_by(lab, "states.amazonaws.com"),
        tags=[{"key": "team", "value": "red"}],
    )["stateMachineArn"]
    assert read(lambda r: r.resource_tags("stepfunctions", HOME, REGION, arn)) == RED


@probe("s3:PutObjectAcl")
def _(lab: Lab, read: Read) -> None:
    name = lab.bucket()
    rules = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    assert read(lambda r: r.owner_enforced(HOME, name))
    lab.admin.s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=rules)
    assert not read(lambda r: r.owner_enforced(HOME, name))
    lab.admin.s3.put_object_acl(Bucket=name, Key="own/key", ACL="public-read")
    grants = read(lambda r: r.public_grants(HOME, name, "own/key", None))
    assert grants
    lab.admin.s3.put_object_acl(Bucket=name, Key="own/key", ACL="private")
    assert not read(lambda r: r.public_grants(HOME, name, "own/key", None))


@probe("ec2:ModifyInstanceAttribute")
def _(lab: Lab, read: Read) -> None:
    made = lab.admin.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    ident = made["Instances"][0]["InstanceId"]
    group = lab.admin.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    lab.admin.ec2.modify_instance_attribute(InstanceId=ident, Groups=[group])
    assert read(lambda r: r.ec2_tags(HOME, REGION, ident)) == {}


@probe("ecs:RunTask")
def _(lab: Lab, read: Read) -> None:
    ecs, cluster = lab.admin.ecs, unique("cluster")
    ecs.create_cluster(clusterName=cluster)
    made = ecs.register_task_definition(
        family=unique("family"),
        containerDefinitions=[{"name": "c", "image": "i", "memory": 8}],
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
    )["taskDefinition"]["taskDefinitionArn"]
    subnet = lab.admin.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = lab.admin.ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    assert ecs.run_task(
        cluster=cluster, taskDefinition=made, launchType="FARGATE", networkConfiguration=network
    )["tasks"]
    assert read(lambda r: r.task_definition(HOME, REGION, made))


@probe("glue:CreateJob")
def _(lab: Lab, read: Read) -> None:
    name, role = unique("job"), trusted_by(lab, "glue.amazonaws.com")
    command = {"Name": "glueetl", "ScriptLocation": "s3://b/k"}
    lab.admin.glue.create_job(Name=name, Role=role, Command=command)
    assert read(lambda r: r.secret(HOME, REGION, name)) is None


@probe("kinesis:CreateStream")
def _(lab: Lab, read: Read) -> None:
    name = unique("stream")
    lab.admin.kinesis.create_stream(StreamName=name, ShardCount=1)
    about = lab.admin.kinesis.describe_stream_summary(StreamName=name)
    assert about["StreamDescriptionSummary"]["StreamARN"].endswith(f":stream/{name}")
    assert read(lambda r: r.secret(HOME, REGION, name)) is None


@probe("kms:ReEncrypt")
def _(lab: Lab, read: Read) -> None:
    kms = lab.admin.kms
    one, two = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    sealed = kms.encrypt(KeyId=one, Plaintext=b"x")["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=sealed, DestinationKeyId=two)["CiphertextBlob"]
    assert read(lambda r: r.sealing_key(REGION, moved)).arn == two


@probe("dynamodb:GetItem")
def _(lab: Lab, read: Read) -> None:
    name = unique("table")
    schema = [{"AttributeName": "n", "KeyType": "HASH"}]
    lab.admin.dynamodb.create_table(
        TableName=name,
        KeySchema=schema,
        AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"n": {"N": "1.50"}}
    lab.admin.dynamodb.put_item(TableName=name, Item=item)
    assert "Item" in lab.admin.dynamodb.get_item(TableName=name, Key=item)
    arn = f"arn:aws:dynamodb:{REGION}:{HOME}:table/{name}"
    assert read(lambda r: r.table_schema(arn, None)) == schema


@probe("cloudtrail:CreateTrail")
def _(lab: Lab, read: Read) -> None:
    bucket = lab.bucket()
    service = {"Service": "cloudtrail.amazonaws.com"}
    lab.admin.s3.put_bucket_policy(
        Bucket=bucket,
        Policy=document(
            {
                "Effect": "Allow",
                "Principal": service,
                "Action": "s3:*",
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ),
    )
    arn = lab.admin.cloudtrail.create_trail(
        Name=unique("trail"), S3BucketName=bucket, TagsList=TAGGED
    )["TrailARN"]
    assert read(lambda r: r.resource_tags("cloudtrail", HOME, REGION, arn)) == RED


@pytest.fixture
def read(lab: Lab, request: pytest.FixtureRequest) -> Read:
    """Read as planners do; each reading is afresh."""
    accounts = frozenset({MANAGEMENT, HOME, OTHER})
    service = request.getfixturevalue("operation").partition(":")[0]
    if lab.remote is None or service in lab.remote.lacking:
        return lambda look: look(MotoResources(lambda: accounts))
    resources = lab.remote.resources(lambda: accounts)
    return lambda look: asyncio.run_coroutine_threadsafe(waiting(look, resources), lab.loop).result(
        60
    )


def listed(operation: str, upstream: Located | None) -> str | None:
    """Return why an emulator cannot, as the committed list has it."""
    service = operation.partition(":")[0]
    return next(
        (
            gap.what
            for gap in gaps()
            if upstream is not None
            and gap.upstream is upstream.kind
            and gap.operation in (operation, f"{service}:*")
            and gap.kept == "nobody"
        ),
        None,
    )


@pytest.mark.parametrize("operation", PROBES)
def test_store_holds_what_decisions_turn_on(
    operation: str,
    lab: Lab,
    read: Read,
    upstream: Located | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if listed(operation, upstream) is None:
        PROBES[operation](lab, read)
        return
    service = operation.partition(":")[0]
    first = next(one for one in PROBES if one.startswith(f"{service}:"))
    if service in lab.lacking and operation != first:
        pytest.skip(f"{service} is lacking whole: {first} has shown it")
    monkeypatch.setattr(lab, "lacking", ())
    with pytest.raises((ClientError, AssertionError, UpstreamError, AttributeError)):
        PROBES[operation](lab, read)


def test_service_that_is_kept_here_is_lacking_there(upstream: Located | None) -> None:
    if upstream is None:
        pytest.skip("the embedded store lacks nothing of its own")
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "dynamodb": ("list_tables", {}),
        "ecr": ("describe_repositories", {}),
        "cloudtrail": ("describe_trails", {}),
        "ecs": ("list_clusters", {}),
        "glue": ("list_jobs", {}),
        "kinesis": ("list_streams", {}),
    }
    for service in services_kept_embedded(upstream.kind):
        operation, arguments = calls[service]
        connect: Any = boto3.client
        client = connect(
            service,
            endpoint_url=upstream.url,
            region_name=REGION,
            aws_access_key_id=HOME,
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
        )
        with pytest.raises((ClientError, ReadTimeoutError)):
            getattr(client, operation)(**arguments)


def test_every_listed_gap_is_probed() -> None:
    services = {operation.partition(":")[0] for operation in PROBES}
    for gap in gaps():
        service, _, operation = gap.operation.partition(":")
        assert service in services if operation == "*" else gap.operation in PROBES, gap
