"""The vaults and acceptors of rotation, over fakes of what the clouds answer."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from iamrange.credentials.inventory.aws import AwsAccess
from iamrange.credentials.inventory.google import GoogleAccess, GoogleRefusedError
from iamrange.credentials.rotation.aws import AccessKeys, SecretsManagerVault
from iamrange.credentials.rotation.directory import ClientSecret
from iamrange.credentials.rotation.google import SecretManagerVault
from iamrange.credentials.rotation.ports import GoneError, PortDownError
from iamrange.identity.directory.directory import Directory
from iamrange.identity.directory.model import AgentSpec
from iamrange.identity.tokens.secrets import hash_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY = {"access_key_id": "testing", "secret_access_key": "testing"}


class FakeGoogle(GoogleAccess):
    """One secret, as Secret Manager keeps it; `refuses` names a method that is denied."""

    def __init__(self) -> None:
        super().__init__(project="p", token="t")
        object.__setattr__(self, "kept", {"values": ["old"], "states": ["ENABLED"], "notes": {}})
        object.__setattr__(self, "refuses", "")

    def call(
        self,
        host: str,
        path: str,
        *,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        del host, query
        kept: dict[str, Any] = getattr(self, "kept")  # noqa: B009 - set behind the frozen class
        verb = path.rpartition(":")[2] if ":" in path else method
        if verb == getattr(self, "refuses"):  # noqa: B009 - same
            raise GoogleRefusedError(f"{method} {path}: PERMISSION_DENIED")
        if verb == "addVersion":
            kept["values"].append(base64.b64decode((body or {})["payload"]["data"]).decode())
            kept["states"].append("ENABLED")
            return {"name": f"x/versions/{len(kept['values'])}"}
        if verb in {"access", "destroy"}:
            number = int(path.rpartition(":")[0].rpartition("/")[2]) - 1
            if verb == "destroy":
                kept["states"][number] = "DESTROYED"
                return {}
            data = base64.b64encode(kept["values"][number].encode()).decode()
            return {"payload": {"data": data}}
        if path.endswith("/versions"):
            numbered = list(enumerate(kept["states"], 1))
            versions = [{"name": f"x/versions/{n}", "state": state} for n, state in numbered]
            return {"versions": versions[::-1]}
        if method == "PATCH":
            kept["notes"] = (body or {})["annotations"]
        return {"annotations": kept["notes"]}

    def refuse(self, verb: str) -> None:
        object.__setattr__(self, "refuses", verb)

    @property
    def states(self) -> list[str]:
        return list(getattr(self, "kept")["states"])  # noqa: B009 - same


def test_google_finds_the_version_that_this_rotation_added_and_no_others() -> None:
    vault = SecretManagerVault(FakeGoogle(), "s")
    assert vault.staged("r1") is None
    assert vault.stage("r1", "new") == "2"
    assert vault.staged("r1") == "2"
    assert vault.staged("r2") is None
    assert vault.current() == "2"


def test_google_that_refused_the_version_after_the_annotation_staged_nothing() -> None:
    google = FakeGoogle()
    vault = SecretManagerVault(google, "s")
    google.refuse("addVersion")
    with pytest.raises(PortDownError, match="PERMISSION_DENIED"):
        vault.stage("r1", "new")
    google.refuse("")
    assert vault.staged("r1") is None


def test_google_versions_that_somebody_else_adds_stop_the_rotation() -> None:
    vault = SecretManagerVault(FakeGoogle(), "s")
    vault.stage("r1", "new")
    vault.access.call("", "/v1/s:addVersion", body={"payload": {"data": "eA=="}})
    with pytest.raises(PortDownError, match="somebody else adds versions"):
        vault.staged("r1")
    with pytest.raises(PortDownError, match="to be the newest"):
        vault.promote("1", "2")


def test_google_brings_an_old_value_back_once_and_destroys_its_copies_with_it() -> None:
    google = FakeGoogle()
    vault = SecretManagerVault(google, "s")
    new = vault.stage("r1", "new")
    for _ in range(2):  # the second is after a crash
        vault.restore("1", new)
        assert vault.read(vault.current()) == "old"
    assert len(google.states) == 3
    vault.destroy(new)
    assert google.states == ["ENABLED", "DESTROYED", "ENABLED"]
    again = vault.stage("r2", "newer")
    vault.destroy("3")
    vault.destroy("3")
    assert google.states == ["DESTROYED", "DESTROYED", "DESTROYED", "ENABLED"]
    assert vault.current() == again
    with pytest.raises(GoneError):
        vault.read("3")


def test_google_secret_without_an_enabled_version_cannot_be_rotated() -> None:
    google = FakeGoogle()
    vault = SecretManagerVault(google, "s")
    vault.destroy("1")
    with pytest.raises(PortDownError, match="expected an enabled version"):
        vault.current()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsAccess]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield AwsAccess(account="123456789012", region="us-east-1", key=KEY)


def test_aws_labels_move_with_a_promotion_and_back_with_a_restoration(place: AwsAccess) -> None:
    place.client("secretsmanager").create_secret(Name="s", SecretString="old")
    vault = SecretsManagerVault(place, "s")
    old, rotation = vault.current(), str(uuid.uuid4())
    assert vault.staged(rotation) is None
    new = vault.stage(rotation, "new")
    assert vault.staged(rotation) == new == rotation
    assert vault.current() == old
    for _ in range(2):  # the second is after a crash
        vault.promote(old, new)
        assert vault.current() == new
    for _ in range(2):
        vault.restore(old, new)
        assert vault.current() == old
    with pytest.raises(PortDownError, match="the one that is given out"):
        vault.destroy(old)
    vault.destroy(new)
    assert (
        place.client("secretsmanager").describe_secret(SecretId="s")["VersionIdsToStages"][new]
        == []
    )


def test_aws_secret_that_is_not_there_is_told(place: AwsAccess) -> None:
    with pytest.raises(GoneError, match="ResourceNotFoundException"):
        SecretsManagerVault(place, "nowhere").current()


def test_key_that_an_interrupted_issue_left_makes_room_for_the_next(place: AwsAccess) -> None:
    iam = place.client("iam")
    iam.create_user(UserName="nightly")
    made = iam.create_access_key(UserName="nightly")["AccessKey"]
    kept = json.dumps({name: made[name] for name in ("AccessKeyId", "SecretAccessKey")})
    keys = AccessKeys(place, "nightly")
    lost, new = (json.loads(keys.issue(kept))["AccessKeyId"] for _ in range(2))
    listed = iam.list_access_keys(UserName="nightly")["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in listed} == {made["AccessKeyId"], new}
    assert lost != new
    keys.disable(kept)
    assert _status(iam, made["AccessKeyId"]) == "Inactive"
    keys.admit(kept)
    assert _status(iam, made["AccessKeyId"]) == "Active"
    for _ in range(2):  # the second is after a crash
        keys.destroy(kept)
    assert [key["AccessKeyId"] for key in _keys(iam)] == [new]


def _keys(iam: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    return list(iam.list_access_keys(UserName="nightly")["AccessKeyMetadata"])


def _status(iam: Any, key_id: str) -> str:  # noqa: ANN401 - same
    return next(str(key["Status"]) for key in _keys(iam) if key["AccessKeyId"] == key_id)


@pytest.mark.parametrize("value", ["", "hunter2", "{}", '["AccessKeyId"]', '{"AccessKeyId": "x"}'])
def test_value_that_is_no_access_key_is_refused_without_being_shown(
    place: AwsAccess, value: str
) -> None:
    with pytest.raises(PortDownError, match="expected a JSON object") as refused:
        AccessKeys(place, "nightly").disable(value)
    assert "hunter2" not in str(refused.value)


def test_directory_takes_the_new_client_secret_and_not_the_old_one(tmp_path: Path) -> None:
    directory = Directory.open(f"sqlite:///{tmp_path / 'd.db'}", tmp_path)
    try:
        spec = AgentSpec(name="bot", owner="ana@example.com", secret_hash=hash_secret("old"))
        directory.register(spec, actor="test", activate=True)
        acceptor = ClientSecret(directory, "bot")
        new = acceptor.issue("old")
        assert acceptor.accepts("old")
        for _ in range(2):  # the second is after a crash
            acceptor.admit(new)
        assert acceptor.accepts(new)
        assert not acceptor.accepts("old")
        acceptor.disable("old")
        assert acceptor.accepts(new)
        acceptor.destroy(new)
        assert not acceptor.accepts(new)
        with pytest.raises(PortDownError, match="not found"):
            ClientSecret(directory, "nobody").accepts("x")
    finally:
        directory.close()
