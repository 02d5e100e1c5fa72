"""Secret Manager through its unpatched client, over REST."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import secretmanager_v1
from google.oauth2 import credentials as user_credentials
from google.protobuf import field_mask_pb2

World = Any  # conftest's: tests are no packages, so that it cannot be imported
Client = Any  # the client takes a dict wherever its annotations name a message

PARENT = "projects/acme-lab"
NAME = f"{PARENT}/secrets/canary"
SHOWN = "projects/1234567890/secrets/canary"
CRC_OF_NONCE = 0xE3069283  # of "123456789", the check value of CRC-32C (RFC 3720 B.4)


@pytest.fixture
def client(world: World) -> Client:
    made: Client = secretmanager_v1.SecretManagerServiceClient(
        credentials=user_credentials.Credentials(world.token), transport="rest"
    )
    secret = {"replication": {"automatic": {}}, "labels": {"owner": "planner"}}
    made.create_secret(parent=PARENT, secret_id="canary", secret=secret)
    made.add_secret_version(parent=NAME, payload={"data": b"123456789"})
    return made


def test_a_secret_is_described_by_its_projects_number(client: Client) -> None:
    found = client.get_secret(name=NAME)
    assert (found.name, dict(found.labels)) == (SHOWN, {"owner": "planner"})
    assert "automatic" in found.replication
    assert [secret.name for secret in client.list_secrets(parent=PARENT)] == [SHOWN]
    assert client.get_secret(name=SHOWN) == found


@pytest.mark.parametrize("version", ["1", "latest"])
def test_a_version_is_read_by_number_and_as_latest(client: Client, version: str) -> None:
    answer = client.access_secret_version(name=f"{NAME}/versions/{version}")
    assert (answer.name, answer.payload.data) == (f"{SHOWN}/versions/1", b"123456789")
    assert answer.payload.data_crc32c == CRC_OF_NONCE


def test_a_payload_with_a_wrong_checksum_is_not_stored(client: Client) -> None:
    good = {"data": b"123456789", "data_crc32c": CRC_OF_NONCE}
    version = client.add_secret_version(parent=NAME, payload=good)
    assert version.client_specified_payload_checksum
    with pytest.raises(exceptions.BadRequest, match="checksum"):
        client.add_secret_version(parent=NAME, payload={**good, "data_crc32c": 1})
    assert len(list(client.list_secret_versions(parent=NAME))) == 2


def test_an_alias_names_one_version(client: Client) -> None:
    client.add_secret_version(parent=NAME, payload={"data": b"second"})
    secret = {"name": NAME, "version_aliases": {"stable": 1}}
    client.update_secret(
        secret=secret, update_mask=field_mask_pb2.FieldMask(paths=["version_aliases"])
    )
    assert client.access_secret_version(name=f"{NAME}/versions/stable").payload.data == b"123456789"
    assert client.access_secret_version(name=f"{NAME}/versions/latest").payload.data == b"second"
    with pytest.raises(exceptions.BadRequest, match="names no version"):
        client.update_secret(
            secret={"name": NAME, "version_aliases": {"next": 9}},
            update_mask=field_mask_pb2.FieldMask(paths=["version_aliases"]),
        )


def test_a_version_can_be_disabled_enabled_and_destroyed(client: Client) -> None:
    name = f"{NAME}/versions/1"
    states = secretmanager_v1.SecretVersion.State
    assert client.disable_secret_version(name=name).state == states.DISABLED
    with pytest.raises(exceptions.BadRequest, match="DISABLED state"):
        client.access_secret_version(name=name)
    with pytest.raises(exceptions.BadRequest, match="DISABLED state"):
        client.access_secret_version(name=f"{NAME}/versions/latest")
    assert client.enable_secret_version(name=name).state == states.ENABLED
    assert client.access_secret_version(name=name).payload.data == b"123456789"
    assert client.destroy_secret_version(name=name).state == states.DESTROYED
    with pytest.raises(exceptions.BadRequest, match="DESTROYED state"):
        client.enable_secret_version(name=name)


@pytest.mark.parametrize(
    "version", ["2", "nobody", "0", "٢"], ids=["absent", "no-alias", "zero", "other-digit"]
)
def test_a_version_that_is_not_there_is_not_found(client: Client, version: str) -> None:
    with pytest.raises(exceptions.NotFound):
        client.access_secret_version(name=f"{NAME}/versions/{version}")


def test_a_secret_of_no_versions_has_no_latest(client: Client) -> None:
    client.create_secret(
        parent=PARENT, secret_id="empty", secret={"replication": {"automatic": {}}}
    )
    with pytest.raises(exceptions.NotFound):
        client.access_secret_version(name=f"{PARENT}/secrets/empty/versions/latest")


def test_a_name_is_taken_until_the_secret_is_deleted(client: Client) -> None:
    body: dict[str, Any] = {"replication": {"automatic": {}}}
    with pytest.raises(exceptions.Conflict):
        client.create_secret(parent=PARENT, secret_id="canary", secret=body)
    client.delete_secret(name=NAME)
    with pytest.raises(exceptions.NotFound):
        client.get_secret(name=NAME)
    client.create_secret(parent=PARENT, secret_id="canary", secret=body)
    assert list(client.list_secret_versions(parent=NAME)) == []


def test_a_write_on_an_old_etag_is_refused(client: Client) -> None:
    old = client.get_secret(name=NAME)
    mask = field_mask_pb2.FieldMask(paths=["labels"])
    client.update_secret(secret={"name": NAME, "labels": {"a": "b"}}, update_mask=mask)
    with pytest.raises(exceptions.BadRequest, match="etag"):
        client.update_secret(
            secret={"name": NAME, "labels": {"c": "d"}, "etag": old.etag}, update_mask=mask
        )
    with pytest.raises(exceptions.BadRequest, match="etag"):
        client.delete_secret(request={"name": NAME, "etag": old.etag})
    assert dict(client.get_secret(name=NAME).labels) == {"a": "b"}


def test_a_secret_past_its_expiry_is_gone(world: World, client: Client) -> None:
    client.create_secret(
        parent=PARENT,
        secret_id="brief",
        secret={"replication": {"automatic": {}}, "ttl": {"seconds": 600}},
    )
    brief = f"{PARENT}/secrets/brief"
    assert client.get_secret(name=brief).expire_time is not None
    world.clock.offset = 601
    with pytest.raises(exceptions.NotFound):
        client.get_secret(name=brief)


def test_lists_come_in_pages(client: Client) -> None:
    for _ in range(4):
        client.add_secret_version(parent=NAME, payload={"data": b"x"})
    versions = client.list_secret_versions(request={"parent": NAME, "page_size": 2})
    numbers = [version.name.rpartition("/")[2] for version in versions]
    assert numbers == ["5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("secret_id", "secret"),
    [
        ("bad/id", {"replication": {"automatic": {}}}),
        ("fine", {}),
        ("fine", {"replication": {"automatic": {}}, "labels": {"Upper": "x"}}),
        ("fine", {"replication": {"user_managed": {}}}),
        ("fine", {"replication": {"automatic": {}}, "expire_time": "2020-01-01T00:00:00Z"}),
    ],
)
def test_a_secret_that_the_api_does_not_take_is_refused(
    client: Client, secret_id: str, secret: dict[str, Any]
) -> None:
    with pytest.raises(exceptions.BadRequest):
        client.create_secret(parent=PARENT, secret_id=secret_id, secret=secret)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("secretId=fine", {"replication": {"automatic": {}}, "colour": "red"}),
        ("secretId=fine", {"replication": {"automatic": {}}, "ttl": "0s"}),
        ("secretId=fine", {"replication": {"automatic": {}}, "ttl": "9999999999s"}),
        ("secretId=fine", {"replication": {"automatic": {}}, "labels": ["a"]}),
        ("secretId=fine", {"replication": {"automatic": {}}, "versionAliases": True}),
    ],
)
def test_a_secret_of_another_shape_is_refused(world: World, query: str, body: Any) -> None:  # noqa: ANN401 - any JSON value
    url = f"https://secretmanager.googleapis.com/v1/{PARENT}/secrets?{query}"
    answer = world.rest("POST", url, body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("payload", [None, {}, {"data": ""}])
def test_a_version_without_a_payload_is_refused(
    world: World, client: Client, payload: dict[str, Any] | None
) -> None:
    url = f"https://secretmanager.googleapis.com/v1/{NAME}:addVersion"
    answer = world.rest("POST", url, {} if payload is None else {"payload": payload})
    assert answer.status_code == 400
    assert "Secret Payload cannot be empty" in answer.json()["error"]["message"]
    assert len(list(client.list_secret_versions(parent=NAME))) == 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("labels.owner=planner", ["canary"]),
        ("labels.owner=writer", ["other"]),
        ("labels.owner!=writer", ["canary", "plain"]),
        ("labels.owner:*", ["canary", "other"]),
        ("name:CAN", ["canary"]),
        ("name:acme-lab", []),
        ("plain", ["plain"]),
        ('labels.owner="planner" AND name:canary', ["canary"]),
        ("labels.owner=planner AND name:other", []),
    ],
)
def test_a_filter_chooses_secrets(client: Client, text: str, names: list[str]) -> None:
    for name, labels in (("other", {"owner": "writer"}), ("plain", {})):
        secret = {"replication": {"automatic": {}}, "labels": labels}
        client.create_secret(parent=PARENT, secret_id=name, secret=secret)
    found = client.list_secrets(request={"parent": PARENT, "filter": text})
    assert [secret.name.rpartition("/")[2] for secret in found] == names


def test_a_filter_chooses_versions_by_state(client: Client) -> None:
    client.add_secret_version(parent=NAME, payload={"data": b"second"})
    client.disable_secret_version(name=f"{NAME}/versions/1")
    for state, number in (("ENABLED", "2"), ("DISABLED", "1")):
        request = {"parent": NAME, "filter": f"state:{state}"}
        (version,) = client.list_secret_versions(request=request)
        assert (version.name.rpartition("/")[2], version.state.name) == (number, state)


@pytest.mark.parametrize("text", ["a OR b", "NOT a", "(a)", "topics:x", "labels.a<3", "a b"])
def test_a_filter_of_another_form_is_refused_and_not_ignored(client: Client, text: str) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        list(client.list_secrets(request={"parent": PARENT, "filter": text}))


@pytest.mark.parametrize("token", [None, "ya29.c.unknown", "not a token"])
def test_nobody_reads_without_a_live_token(world: World, client: Client, token: str | None) -> None:
    del client
    url = f"https://secretmanager.googleapis.com/v1/{NAME}/versions/1:access"
    answer = world.rest("GET", url, token=token)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "123456789" not in answer.text


@pytest.mark.parametrize("where", ["organisation", "elsewhere"])
def test_the_administrator_of_another_project_reads_nothing(
    world: World, client: Client, where: str
) -> None:
    del client
    alone = world.cloud.create_project("stranger", "99")
    stranger = world.other_token if where == "organisation" else alone
    url = f"https://secretmanager.googleapis.com/v1/{NAME}/versions/1:access"
    assert world.rest("GET", url, token=stranger).status_code == 403
    absent = url.replace("canary", "absent")
    assert world.rest("GET", absent, token=stranger).status_code == 403


def test_no_record_and_no_repr_holds_a_token_or_a_payload(world: World, client: Client) -> None:
    client.access_secret_version(name=f"{NAME}/versions/1")
    text = repr(world.records) + repr(world.cloud.__dict__)
    assert world.records
    assert world.token not in text
    assert "123456789'" not in text
