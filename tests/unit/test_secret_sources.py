"""Each source against its client's own errors, and patience against a vault that is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import google.api_core.exceptions
import google.auth.exceptions
import hvac.exceptions
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.cloud_sources import AwsSource, GcpSource
from iamrange.credentials.source import (
    Patience,
    PatientSource,
    Secret,
    SecretError,
    SecretMissingError,
    SecretRefusedError,
    SecretSource,
    SecretUnavailableError,
    VaultSealedError,
    VaultUnreachableError,
)
from iamrange.credentials.vault_source import VaultSource, jwt_login

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HUNTER = "hunter2-the-secret"
Answer = Any


class Scripted:
    """A client, a login and a source in one: gives what it was told, in that order."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.secrets = SimpleNamespace(kv=SimpleNamespace(v2=self))

    def _next(self, name: str) -> Answer:
        self.asked.append(name)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def read(self, name: str) -> Secret:
        return Secret(str(self._next(name)), "1")

    def read_secret_version(self, *, path: str, **_: object) -> Answer:
        return self._next(path)

    def get_secret_value(self, *, SecretId: str) -> Answer:  # noqa: N803 - boto3's own name
        return self._next(SecretId)

    def access_secret_version(self, *, name: str, **_: object) -> Answer:
        return self._next(name)


def of_vault(client: Scripted) -> SecretSource:
    return VaultSource(client, lambda _: 60.0, store="agents")  # type: ignore[arg-type]


def of_aws(client: Scripted) -> SecretSource:
    return AwsSource(client)


def of_gcp(client: Scripted) -> SecretSource:
    return GcpSource(client)  # type: ignore[arg-type]


def client_error(code: str, status: int) -> botocore.exceptions.ClientError:
    response: Answer = {
        "Error": {"Code": code, "Message": HUNTER},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return botocore.exceptions.ClientError(response, "GetSecretValue")


VAULT_ANSWER = {"data": {"data": {"value": HUNTER}, "metadata": {"version": 3}}}
READS: dict[str, tuple[Callable[[Scripted], SecretSource], Answer, str]] = {
    "vault": (of_vault, VAULT_ANSWER, "3"),
    "aws": (of_aws, {"SecretString": HUNTER, "VersionId": "v-3"}, "v-3"),
    "gcp": (
        of_gcp,
        SimpleNamespace(
            name="projects/p/secrets/s/versions/3",
            payload=SimpleNamespace(data=HUNTER.encode()),
        ),
        "3",
    ),
}
ERRORS: dict[str, tuple[Callable[[Scripted], SecretSource], Exception, type[SecretError]]] = {
    "vault refuses": (of_vault, hvac.exceptions.Forbidden(HUNTER), SecretRefusedError),
    "vault has none": (of_vault, hvac.exceptions.InvalidPath(HUNTER), SecretMissingError),
    "vault sealed": (of_vault, hvac.exceptions.VaultDown("Vault is sealed"), VaultSealedError),
    "vault starting": (of_vault, hvac.exceptions.VaultDown("starting"), VaultUnreachableError),
    "vault away": (of_vault, requests.ConnectionError(HUNTER), VaultUnreachableError),
    "vault slow": (of_vault, requests.Timeout(HUNTER), VaultUnreachableError),
    "vault broken": (
        of_vault,
        hvac.exceptions.InternalServerError(HUNTER),
        SecretUnavailableError,
    ),
    "vault busy": (of_vault, hvac.exceptions.RateLimitExceeded(HUNTER), SecretUnavailableError),
    "aws refuses": (of_aws, client_error("AccessDeniedException", 400), SecretRefusedError),
    "aws has none": (of_aws, client_error("ResourceNotFoundException", 400), SecretMissingError),
    "aws busy": (of_aws, client_error("ThrottlingException", 400), SecretUnavailableError),
    "aws broken": (of_aws, client_error("Whatever", 503), SecretUnavailableError),
    "aws away": (
        of_aws,
        botocore.exceptions.EndpointConnectionError(endpoint_url="https://x"),
        VaultUnreachableError,
    ),
    "aws without credentials": (
        of_aws,
        botocore.exceptions.NoCredentialsError(),
        SecretRefusedError,
    ),
    "gcp refuses": (
        of_gcp,
        google.api_core.exceptions.PermissionDenied(HUNTER),
        SecretRefusedError,
    ),
    "gcp has none": (of_gcp, google.api_core.exceptions.NotFound(HUNTER), SecretMissingError),
    "gcp busy": (
        of_gcp,
        google.api_core.exceptions.TooManyRequests(HUNTER),
        SecretUnavailableError,
    ),
    "gcp broken": (
        of_gcp,
        google.api_core.exceptions.ServiceUnavailable(HUNTER),
        SecretUnavailableError,
    ),
    "gcp away": (of_gcp, google.auth.exceptions.TransportError(HUNTER), VaultUnreachableError),
    "gcp without credentials": (
        of_gcp,
        google.auth.exceptions.RefreshError(HUNTER),
        SecretRefusedError,
    ),
}


@pytest.mark.parametrize("name", READS)
def test_secret_is_read_alike_from_every_vault(name: str) -> None:
    make, answer, version = READS[name]
    found = make(Scripted(answer)).read("one")
    assert (found.value, found.version) == (HUNTER, version)
    assert HUNTER not in repr(found)


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_what_is_wrong_and_holds_no_words_of_the_clients(name: str) -> None:
    make, error, expected = ERRORS[name]
    # a login that was made just now is not replaced: the first word counts
    with pytest.raises(SecretError) as raised:
        make(Scripted(error, error)).read("one")
    assert type(raised.value) is expected
    assert HUNTER not in str(raised.value)
    assert "one" in str(raised.value)


@pytest.mark.parametrize("name", ERRORS)
def test_only_a_vault_that_is_away_is_asked_again(name: str) -> None:
    make, error, expected = ERRORS[name]
    client = Scripted(*[error] * 3)
    waits: list[float] = []
    patient = PatientSource(make(client), Patience(tries=3), sleep=waits.append)
    with pytest.raises(expected):
        patient.read("one")
    away = issubclass(expected, SecretUnavailableError)
    assert len(client.asked) == (3 if away else 1)
    assert len(waits) == (2 if away else 0)


def test_vault_that_comes_back_is_read_and_nothing_older_is_served() -> None:
    away = VaultUnreachableError("away")
    source = PatientSource(Scripted("old", away, "new", away, away), Patience(tries=2), sleep=len0)
    assert source.read("one").value == "old"
    assert source.read("one").value == "new"
    with pytest.raises(VaultUnreachableError, match="asked 2 times"):
        source.read("one")


def len0(_seconds: float) -> None:
    """Wait for nothing."""


@given(
    tries=st.integers(1, 8),
    first=st.floats(0.01, 2),
    jitter=st.floats(0, 1),
)
def test_waits_are_bounded_and_never_longer_than_said(
    tries: int, first: float, jitter: float
) -> None:
    waits: list[float] = []
    patience = Patience(tries=tries, first=first, longest=first * 4)
    source = PatientSource(
        Scripted(*[VaultSealedError("sealed")] * tries),
        patience,
        sleep=waits.append,
        jitter=lambda: jitter,
    )
    with pytest.raises(VaultSealedError):
        source.read("one")
    assert len(waits) == tries - 1
    bounds = [min(first * 2**number, first * 4) for number in range(tries - 1)]
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


@pytest.mark.parametrize(
    "wrong", [{"tries": 0}, {"first": 0.0}, {"first": 3.0, "longest": 2.0}], ids=str
)
def test_patience_that_never_asks_or_never_waits_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="patience: expected"):
        Patience(**wrong)


class Logins:
    """Counts the logins at a vault whose leases are 100 s."""

    def __init__(self) -> None:
        self.made = 0
        self.now = 0.0

    def __call__(self, _client: object) -> float:
        self.made += 1
        return 100.0


def _vault(client: Scripted, logins: Logins) -> VaultSource:
    fake: Answer = client
    return VaultSource(fake, logins, store="agents", clock=lambda: logins.now)


def test_login_serves_until_most_of_its_lease_is_over() -> None:
    logins = Logins()
    source = _vault(Scripted(*[VAULT_ANSWER] * 3), logins)
    for now, made in ((0.0, 1), (79.0, 1), (81.0, 2)):
        logins.now = now
        source.read("one")
        assert logins.made == made


def test_login_that_a_restarted_vault_forgot_is_replaced_once() -> None:
    logins = Logins()
    refused = hvac.exceptions.Forbidden()
    source = _vault(Scripted(VAULT_ANSWER, refused, VAULT_ANSWER, refused, refused), logins)
    source.read("one")
    assert source.read("one").value == HUNTER
    assert logins.made == 2
    with pytest.raises(SecretRefusedError):
        source.read("one")
    assert logins.made == 3


def test_field_that_is_not_there_is_named_and_its_neighbours_are_not_shown() -> None:
    answer = {"data": {"data": {"password": HUNTER}, "metadata": {"version": 1}}}
    with pytest.raises(SecretMissingError, match="a field 'value'") as raised:
        of_vault(Scripted(answer)).read("one")
    assert HUNTER not in str(raised.value)


def test_login_reads_its_token_anew_and_says_when_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "token"
    sent: list[str] = []

    def jwt_login_(*, role: str, jwt: str, path: str) -> Answer:
        sent.append(f"{role} {jwt} {path}")
        return {"auth": {"lease_duration": 9}}

    client: Answer = SimpleNamespace(
        auth=SimpleNamespace(jwt=SimpleNamespace(jwt_login=jwt_login_))
    )
    login = jwt_login("agent-one", file, path="jwt")
    with pytest.raises(SecretRefusedError, match="no token in"):
        login(client)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        assert login(client) == 9
    assert sent == ["agent-one first jwt", "agent-one second jwt"]
