"""The readers of clouds, directory and certificates, over fakes of what the clients answer."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from iamrange.credentials.inventory.aws import AccessKeyReader, AwsAccess, SecretsManagerReader
from iamrange.credentials.inventory.certificates import CertificateReader
from iamrange.credentials.inventory.directory import DirectoryReader, every_entry, registered
from iamrange.credentials.inventory.gather import Fact, Kind, Marker, gather
from iamrange.credentials.inventory.google import (
    GoogleAccess,
    GoogleRefusedError,
    SecretManagerReader,
    ServiceAccountKeyReader,
)
from iamrange.credentials.inventory.moments import end_of, moment_of
from iamrange.credentials.inventory.uses import USER_AGENT, Uses, uses_in
from iamrange.identity.directory.directory import Directory
from iamrange.identity.directory.model import AgentKey, AgentSpec
from iamrange.identity.tokens.secrets import hash_secret
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DAY = datetime(2026, 11, 1, tzinfo=UTC)
MARKER = Marker(b"k" * 32)
ARN = "arn:aws:secretsmanager:us-east-1:1:secret:db-abcdef"


def refused(operation: str, code: str = "AccessDenied") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "the value is hunter2"}}, operation)


class FakePages:
    def __init__(self, pages: list[Any]) -> None:
        self.pages = pages

    def paginate(self, **_: object) -> Iterator[Any]:
        for page in self.pages:
            if isinstance(page, Exception):
                raise page
            yield page


class FakeAws:
    """Answers as boto3's clients do; an answer that is an exception is raised."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    def client(self, _service: str) -> FakeAws:
        return self

    account, region = "1", "us-east-1"

    def get_paginator(self, name: str) -> FakePages:
        return FakePages(cast("list[Any]", self.answers[name]))

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(**_: object) -> object:
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    @property
    def access(self) -> AwsAccess:
        return cast("AwsAccess", self)


SECRET = {
    "ARN": ARN,
    "Name": "db",
    "CreatedDate": DAY,
    "LastChangedDate": DAY + timedelta(days=3),
    "Tags": [
        {"Key": "Owner", "Value": "ana@example.com"},
        {"Key": "expires", "Value": "2027-06-30"},
    ],
}
VERSIONS = {
    "Versions": [
        {"VersionId": "1", "VersionStages": ["AWSPREVIOUS"], "CreatedDate": DAY},
        {
            "VersionId": "2",
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": DAY + timedelta(days=5),
        },
    ]
}


def aws(**changes: object) -> FakeAws:
    good = {
        "list_secrets": [{"SecretList": [SECRET]}],
        "list_secret_version_ids": VERSIONS,
        "get_secret_value": {"SecretString": "a value of its own"},
    }
    return FakeAws(**{**good, **changes})


def test_aws_secret_is_read_with_owner_end_and_rotation_no_later_than_its_last_change() -> None:
    (one,) = SecretsManagerReader(access=aws().access).read(MARKER)
    assert (one.kind, one.name, one.owner) == (Kind.AWS_SECRET, "db", "ana@example.com")
    assert one.rotated == (DAY + timedelta(days=3)).timestamp()
    assert one.expires == datetime(2027, 7, 1, tzinfo=UTC).timestamp()
    assert one.marks == MARKER.of("a value of its own")
    assert one.unread == {}


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ({"get_secret_value": refused("GetSecretValue")}, Fact.VALUE),
        ({"list_secret_version_ids": refused("ListSecretVersionIds")}, Fact.ROTATED),
        (
            {
                "list_secrets": [
                    {"SecretList": [{**SECRET, "Tags": [{"Key": "expires", "Value": "never"}]}]}
                ]
            },
            Fact.EXPIRES,
        ),
    ],
)
def test_fact_that_cannot_be_read_is_named_and_no_message_is_shown(
    answer: Mapping[str, Any], fact: Fact
) -> None:
    (one,) = SecretsManagerReader(access=aws(**answer).access).read(MARKER)
    assert set(one.unread) == {fact}
    assert "hunter2" not in repr(one)


def test_secret_that_has_no_value_yet_is_no_gap() -> None:
    empty = refused("GetSecretValue", "ResourceNotFoundException")
    (one,) = SecretsManagerReader(access=aws(get_secret_value=empty).access).read(MARKER)
    assert (one.marks, one.unread) == (frozenset(), {})


@pytest.mark.parametrize(
    "error",
    [refused("ListSecrets", "Throttling"), EndpointConnectionError(endpoint_url="http://x")],
)
def test_aws_that_goes_away_after_a_page_leaves_that_page_and_a_gap(error: Exception) -> None:
    fake = aws(list_secrets=[{"SecretList": [SECRET]}, error])
    inventory = gather([SecretsManagerReader(access=fake.access)], MARKER)
    assert [one.name for one in inventory.credentials] == ["db"]
    assert [one.source for one in inventory.unread] == ["aws secretsmanager 1 us-east-1"]
    assert "hunter2" not in inventory.unread[0].why


def keys(**changes: object) -> FakeAws:
    good = {
        "list_users": [{"Users": [{"UserName": "left-over", "Arn": "arn:left-over"}]}],
        "list_access_keys": [
            {
                "AccessKeyMetadata": [
                    {"AccessKeyId": "AKIA1", "Status": "Active", "CreateDate": DAY},
                    {"AccessKeyId": "AKIA2", "Status": "Inactive", "CreateDate": DAY},
                ]
            }
        ],
        "list_user_tags": {"Tags": [{"Key": "agent", "Value": "bot"}]},
        "get_access_key_last_used": {"AccessKeyLastUsed": {"LastUsedDate": DAY}},
    }
    return FakeAws(**{**good, **changes})


def test_access_keys_come_with_owner_state_and_the_clouds_own_last_use() -> None:
    first, second, *_ = AccessKeyReader(access=keys().access).read(MARKER)
    assert (first.name, first.agent, first.active) == ("user/left-over/AKIA1", "bot", True)
    assert first.last_used == DAY.timestamp()
    assert second.active is False


def test_access_key_whose_tags_or_use_are_refused_says_so() -> None:
    fake = keys(
        list_user_tags=refused("ListUserTags"),
        get_access_key_last_used=refused("GetAccessKeyLastUsed"),
    )
    one = next(iter(AccessKeyReader(access=fake.access).read(MARKER)))
    assert one.unread == {
        Fact.OWNER: "ListUserTags: AccessDenied",
        Fact.LAST_USED: "GetAccessKeyLastUsed: AccessDenied",
    }


def test_use_that_only_the_log_tells_is_an_only_keys_and_nobodys_of_two() -> None:
    uses = Uses(began=0.0, of_principal={"arn:left-over": DAY.timestamp() + 9})
    silent: dict[str, object] = {"get_access_key_last_used": {"AccessKeyLastUsed": {}}}
    (page,) = cast("Any", keys().answers["list_access_keys"])
    one_key = [{"AccessKeyMetadata": page["AccessKeyMetadata"][:1]}]
    (only,) = AccessKeyReader(
        access=keys(**silent, list_access_keys=one_key).access, uses=uses
    ).read(MARKER)
    assert only.last_used == DAY.timestamp() + 9
    two = AccessKeyReader(access=keys(**silent).access, uses=uses).read(MARKER)
    assert {one.last_used for one in two} == {None}


class FakeGoogle(GoogleAccess):
    """Answers as Google does, by path."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__(project="p", token="t")
        object.__setattr__(self, "answers", answers)

    def call(
        self,
        host: str,
        path: str,
        *,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        del host, body
        page = (query or {}).get("pageToken", "")
        answer = cast("Any", self).answers.get(path + page)
        if answer is None:
            raise GoogleRefusedError(f"{method} {path}: PERMISSION_DENIED")
        return cast("dict[str, Any]", answer)


NAME = "projects/1/secrets/db"
CREATED = "2026-11-01T00:00:00.000001Z"
GOOGLE: dict[str, Any] = {
    "/v1/projects/p/secrets": {
        "secrets": [{"name": NAME, "createTime": CREATED, "labels": {"agent": "bot"}}]
    },
    f"/v1/{NAME}/versions": {
        "versions": [
            {"name": f"{NAME}/versions/3", "state": "DISABLED", "createTime": CREATED},
            {
                "name": f"{NAME}/versions/2",
                "state": "ENABLED",
                "createTime": "2026-11-02T00:00:00Z",
            },
            {"name": f"{NAME}/versions/1", "state": "ENABLED", "createTime": CREATED},
        ]
    },
    f"/v1/{NAME}/versions/2:access": {
        "payload": {"data": base64.b64encode(b"a value of its own").decode()}
    },
}


def test_google_secret_is_marked_by_its_newest_enabled_version() -> None:
    uses = Uses(began=0.0, of_secret={NAME: 5.0})
    (one,) = SecretManagerReader(access=FakeGoogle(GOOGLE), uses=uses).read(MARKER)
    assert one.marks == MARKER.of("a value of its own")
    assert (one.name, one.agent, one.last_used, one.unread) == ("db", "bot", 5.0, {})
    assert one.rotated == datetime(2026, 11, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("gone", "facts"),
    [
        (f"/v1/{NAME}/versions", {Fact.ROTATED, Fact.VALUE}),
        (f"/v1/{NAME}/versions/2:access", {Fact.VALUE}),
    ],
)
def test_google_secret_whose_value_is_refused_is_listed_with_the_gap(
    gone: str, facts: set[Fact]
) -> None:
    answers = {path: answer for path, answer in GOOGLE.items() if path != gone}
    reader = SecretManagerReader(access=FakeGoogle(answers), uses=Uses(began=0.0))
    (one,) = reader.read(MARKER)
    assert set(one.unread) == facts
    assert one.active


def test_google_that_refuses_the_second_page_is_a_gap() -> None:
    first = {**GOOGLE["/v1/projects/p/secrets"], "nextPageToken": "2"}
    access = FakeGoogle({**GOOGLE, "/v1/projects/p/secrets": first})
    inventory = gather([SecretManagerReader(access=access)], MARKER)
    assert len(inventory.credentials) == 1
    assert inventory.unread[0].why == "GET /v1/projects/p/secrets: PERMISSION_DENIED"


def account_keys(count: int) -> FakeGoogle:
    name = "projects/p/serviceAccounts/bot@p"
    return FakeGoogle(
        {
            "/v1/projects/p/serviceAccounts": {"accounts": [{"name": name, "email": "bot@p"}]},
            f"/v1/{name}/keys": {
                "keys": [
                    {
                        "name": f"{name}/keys/{number}",
                        "validAfterTime": CREATED,
                        "validBeforeTime": "9999-12-31T23:59:59Z",
                    }
                    for number in range(count)
                ]
            },
        }
    )


def test_use_of_an_account_is_its_only_keys_and_nobodys_of_two() -> None:
    uses = Uses(began=0.0, by_key={"bot@p": 7.0})
    (only,) = ServiceAccountKeyReader(access=account_keys(1), uses=uses).read(MARKER)
    assert (only.last_used, only.expires, only.unread) == (7.0, None, {})
    for one in ServiceAccountKeyReader(access=account_keys(2), uses=uses).read(MARKER):
        assert one.last_used is None
        assert set(one.unread) == {Fact.LAST_USED}


def event(time: int, who: str, operation: str, resource: str, **more: object) -> dict[str, Any]:
    return {
        "time": time,
        "class_uid": 6003,
        "action_id": 1,
        "actor": {"user": {"uid": who}},
        "api": {"operation": operation, "service": {"name": more.pop("point", "aws.authorize")}},
        "resources": [{"uid": resource}],
        **more,
    }


def test_log_tells_last_uses_and_leaves_out_refusals_and_the_inventorys_own_reads() -> None:
    read = "secretsmanager:GetSecretValue"
    own = {"http_request": {"user_agent": f"Boto3 {USER_AGENT}"}}
    uses = uses_in(
        [
            event(1000, "bot", read, ARN),
            event(9000, "bot", read, ARN, action_id=2),
            event(9500, "bot", read, ARN, class_uid=4002),
            event(8000, "admin", read, ARN, **own),
            event(2000, "mallory", read, "other", **own),
            event(3000, "bot", "secretmanager.versions.access", f"{NAME}/versions/latest"),
            event(4000, "serviceAccount:b@p", "oauth2.token", "x", point="gcp.service-account-key"),
            {"time": "x"},
        ],
        own=["admin"],
    )
    assert uses.of_secret == {ARN: 1.0, "other": 2.0, NAME: 3.0}
    assert uses.by_key == {"b@p": 4.0}
    assert uses.began == 1.0
    assert uses.unknown_before(-9.0) == "the audit log begins later"
    assert uses.unknown_before(5.0) is None
    assert Uses().unknown_before(5.0) == "there is no audit log"


def test_directory_tells_keys_secrets_ends_and_whose_they_are(tmp_path: Path) -> None:
    directory = Directory.open(f"sqlite:///{tmp_path / 'd.db'}", tmp_path)
    key = AgentKey.from_jwk(SigningKey.generate("ES256").public_jwk())
    spec = AgentSpec(name="bot", owner="ana@example.com", keys=(key,), secret_hash=hash_secret("x"))
    directory.register(spec, actor="test", activate=True)
    directory.register(dataclasses.replace(spec, name="old", keys=()), actor="test", activate=True)
    directory.retire("old", actor="test")
    reader = DirectoryReader(directory=directory, now=1.0, uses=Uses(began=0.0))
    found = list(reader.read(MARKER))
    entries = list(registered(every_entry(directory)))
    directory.close()
    assert [(one.kind, one.agent, one.active) for one in found[:2]] == [
        (Kind.DIRECTORY_KEY, "bot", True),
        (Kind.CLIENT_SECRET, "bot", True),
    ]
    assert all(not one.active for one in found[2:])
    assert [(one.name, one.retired) for one in entries] == [("bot", False), ("old", True)]
    assert not any(one.marks for one in found)


def certificate(folder: Path, name: str, key: ec.EllipticCurvePrivateKey) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bot")])
    uri = x509.UniformResourceIdentifier("spiffe://iamrange.example/agent/bot")
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(DAY)
        .not_valid_after(DAY + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / name).write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_certificates_of_one_key_in_two_files_are_copies(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate(tmp_path, "a.pem", key)
    certificate(tmp_path, "b.crt", key)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    inventory = gather([CertificateReader(folder=tmp_path)], MARKER)
    assert inventory.unread == ()
    first, second = inventory.credentials
    assert (first.agent, first.expires) == ("bot", (DAY + timedelta(days=1)).timestamp())
    assert inventory.copies()[first.place] == (second.place,)


def test_folder_or_certificate_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    readers = [CertificateReader(folder=tmp_path), CertificateReader(folder=tmp_path / "nowhere")]
    assert len(gather(readers, MARKER).unread) == 2


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5+00:00", 1.5),
        ("", None),
        ("tomorrow", None),
    ],
)
def test_moment_is_read_or_none(text: str, moment: float | None) -> None:
    assert moment_of(text) == moment


def test_day_ends_a_day_later_and_what_is_none_is_told() -> None:
    assert end_of("1970-01-01") == (86_400.0, None)
    assert end_of(None) == (None, None)
    assert end_of("soon") == (None, "expected a day like 2027-06-30 in the tag, got 'soon'")
