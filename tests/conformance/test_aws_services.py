# ruff: noqa: ANN401  # boto3's clients have no types
"""An administrator's ordinary work through the edge: what was authorised is carried out."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT, REGION = "100000000001", "us-east-1"


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[[str], Any]]:
    fetcher = HttpFetcher(resolve={}, authorities=())
    cloud = AwsCloud(clock=SystemClock(), records=lambda _: None, fetcher=fetcher)
    key = cloud.create_account(ACCOUNT)
    loop = asyncio.new_event_loop()
    edge = Edge([Route("*", cloud)], ca=None)
    loop.run_until_complete(edge.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client: Any = boto3.client

    def open_client(service: str) -> Any:
        return client(
            service,
            endpoint_url=f"http://127.0.0.1:{edge.port}",
            region_name=REGION,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    yield open_client
    asyncio.run_coroutine_threadsafe(edge.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def document(principal: Any, action: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    if not action.startswith("sts:"):
        statement["Resource"] = "*"
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_items_of_every_type_survive(connect: Callable[[str], Any]) -> None:
    dynamodb = connect("dynamodb")
    dynamodb.create_table(
        TableName="table",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "other", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "index",
                "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    key = {"pk": {"S": "a&=ü"}, "sk": {"N": "1.50"}}
    item = key | {
        "other": {"S": "x"},
        "bytes": {"B": b"\x00\xff&="},
        "list": {"L": [{"S": "q"}, {"NULL": True}, {"M": {"e": {"BOOL": False}}}, {"M": {}}]},
        "set": {"SS": ["a"]},
        "empty": {"S": ""},
    }
    dynamodb.put_item(TableName="table", Item=item)
    assert dynamodb.get_item(TableName="table", Key=key)["Item"] == item
    queries: tuple[dict[str, Any], ...] = (
        {"KeyConditionExpression": "pk = :a AND sk > :z", "a": "a&=ü", "z": {":z": {"N": "0"}}},
        {"KeyConditionExpression": "other = :a", "a": "x", "z": {}, "IndexName": "index"},
    )
    for query in queries:
        values = {":a": {"S": query.pop("a")}} | query.pop("z")
        got = dynamodb.query(TableName="table", ExpressionAttributeValues=values, **query)
        assert got["Items"] == [item]
    got = dynamodb.batch_get_item(RequestItems={"table": {"Keys": [key]}})
    assert got["Responses"]["table"] == [item]
    write = {"Put": {"TableName": "table", "Item": item | {"more": {"N": "1"}}}}
    dynamodb.transact_write_items(TransactItems=[write])
    assert dynamodb.scan(TableName="table")["Items"] == [item | {"more": {"N": "1"}}]
    dynamodb.delete_item(TableName="table", Key=key)
    assert dynamodb.scan(TableName="table")["Count"] == 0


def test_multipart_upload_and_range_and_versions(connect: Callable[[str], Any]) -> None:
    s3 = connect("s3")
    s3.create_bucket(Bucket="walk")
    s3.delete_public_access_block(Bucket="walk")
    content = bytes(range(256)) * 40_000
    s3.upload_fileobj(io.BytesIO(content), "walk", "big")
    assert (
        s3.get_object(Bucket="walk", Key="big", Range="bytes=5-9")["Body"].read() == content[5:10]
    )
    s3.put_bucket_versioning(Bucket="walk", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="walk", Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket="walk", Key="k", Body=b"2")
    assert s3.get_object(Bucket="walk", Key="k", VersionId=first)["Body"].read() == b"1"
    s3.copy_object(Bucket="walk", Key="copy", CopySource={"Bucket": "walk", "Key": "k"})
    assert s3.get_object(Bucket="walk", Key="copy")["Body"].read() == b"2"
    tags = [{"Key": "a", "Value": "b=ü"}]
    s3.put_object_tagging(Bucket="walk", Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket="walk", Key="k")["TagSet"] == tags
    s3.put_bucket_tagging(Bucket="walk", Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket="walk")["TagSet"] == tags
    policy = document("*", "s3:GetObject").replace('"*"}', '"arn:aws:s3:::walk/*"}')
    s3.put_bucket_policy(Bucket="walk", Policy=policy)
    assert json.loads(s3.get_bucket_policy(Bucket="walk")["Policy"]) == json.loads(policy)
    gone = s3.delete_objects(Bucket="walk", Delete={"Objects": [{"Key": "k"}, {"Key": "big"}]})
    assert {one["Key"] for one in gone["Deleted"]} == {"k", "big"}


def test_secret_of_bytes_and_its_life(connect: Callable[[str], Any]) -> None:
    secrets = connect("secretsmanager")
    secrets.create_secret(Name="life", SecretBinary=b"\x00\xff&=", Description="d&=")
    assert secrets.get_secret_value(SecretId="life")["SecretBinary"] == b"\x00\xff&="
    secrets.put_secret_value(SecretId="life", SecretString='{"a": "&SecretId=x"}')
    assert secrets.get_secret_value(SecretId="life")["SecretString"] == '{"a": "&SecretId=x"}'
    assert secrets.describe_secret(SecretId="life")["Description"] == "d&="
    policy = document({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "secretsmanager:GetSecretValue")
    secrets.put_resource_policy(SecretId="life", ResourcePolicy=policy)
    assert secrets.get_resource_policy(SecretId="life")["ResourcePolicy"] == policy
    secrets.delete_resource_policy(SecretId="life")
    secrets.delete_secret(SecretId="life")
    secrets.restore_secret(SecretId="life")
    assert [one["Name"] for one in secrets.list_secrets()["SecretList"]] == ["life"]


def test_key_encrypts_and_moves_what_it_encrypted(connect: Callable[[str], Any]) -> None:
    kms = connect("kms")
    one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    kms.create_alias(AliasName="alias/one", TargetKeyId=one)
    sealed = kms.encrypt(KeyId="alias/one", Plaintext=b"x", EncryptionContext={"a": "b"})
    moved = kms.re_encrypt(
        CiphertextBlob=sealed["CiphertextBlob"],
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=two,
    )
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"x"
    data = kms.generate_data_key(KeyId=one, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]


def test_role_and_its_policies_are_read_back(connect: Callable[[str], Any]) -> None:
    iam = connect("iam")
    trust = document({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole")
    iam.create_role(RoleName="walk", Path="/agents/", AssumeRolePolicyDocument=trust)
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="walk", PolicyArn=managed)
    attached = iam.list_attached_role_policies(RoleName="walk")["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [managed]
    iam.put_role_permissions_boundary(RoleName="walk", PermissionsBoundary=managed)
    role = iam.get_role(RoleName="walk")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/agents/walk"
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == managed
    iam.create_user(UserName="walker", PermissionsBoundary=managed)
    user = iam.get_user(UserName="walker")["User"]
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == managed
    iam.delete_user_permissions_boundary(UserName="walker")
    assert "PermissionsBoundary" not in iam.get_user(UserName="walker")["User"]
    assert iam.get_user()["User"]["UserName"] == "admin"


def test_message_and_parameter_come_through(connect: Callable[[str], Any]) -> None:
    sqs, sns, ssm = connect("sqs"), connect("sns"), connect("ssm")
    url = sqs.create_queue(QueueName="walk")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="a&b=c")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "a&b=c"
    topic = sns.create_topic(Name="walk", Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    assert sns.publish(TopicArn=topic, Message="x")["MessageId"]
    ssm.put_parameter(Name="/walk/a", Value="x&=", Type="SecureString")
    got = ssm.get_parameter(Name="/walk/a", WithDecryption=True)
    assert got["Parameter"]["Value"] == "x&="
    found = ssm.get_parameters_by_path(Path="/walk")["Parameters"]
    assert [one["Name"] for one in found] == ["/walk/a"]
