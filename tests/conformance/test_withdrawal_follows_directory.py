"""Certificates of agents that were cut off: withdrawn whoever did it, by whichever tool."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from iamrange.identity.certificates.client_chain import ChainRefusal, VerifiedClient, verify_client
from iamrange.identity.certificates.svid import new_key
from iamrange.identity.directory.directory import Directory
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration, WorldConfig
from iamrange.range.content import Content
from iamrange.range.world_directory import FOLDER, directory_url

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = ChainRefusal("certificate-withdrawn")


class Holder:
    """A world's content, one agent in it, and that agent's certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content = Content(WorldConfig(run_id="withdrawal"), folder)
        registration = AgentRegistration(
            name="payments", public_jwk=SigningKey.generate("ES256").public_jwk(), audiences=()
        )
        self.id = self.content.agents.register(registration).id

    def certificate(self) -> bytes:
        key, _ = new_key()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        chain = self.content.identity.issue_svid(self.id, public.decode())
        return ssl.PEM_cert_to_DER_cert(chain)

    def judged(self, der: bytes) -> VerifiedClient | ChainRefusal:
        return verify_client([der], self.content.identity.trust_bundle(), time.time())


@pytest.fixture
def holder(tmp_path: Path) -> Holder:
    return Holder(tmp_path)


@pytest.mark.parametrize("transition", ["quarantine", "revoke", "retire"])
def test_who_is_cut_off_has_no_certificate(holder: Holder, transition: str) -> None:
    ders = [holder.certificate() for _ in range(2)]
    assert all(isinstance(holder.judged(der), VerifiedClient) for der in ders)
    holder.content.agents.change(holder.id, transition)
    assert [holder.judged(der) for der in ders] == [REFUSED, REFUSED]


def test_after_a_release_a_new_certificate_works_and_the_old_one_stays_refused(
    holder: Holder,
) -> None:
    old = holder.certificate()
    holder.content.agents.change(holder.id, "quarantine")
    assert holder.judged(old) == REFUSED
    holder.content.agents.change(holder.id, "release")
    new = holder.certificate()
    assert isinstance(holder.judged(new), VerifiedClient)
    assert holder.judged(old) == REFUSED


def test_a_quarantine_that_nobody_looked_at_withdraws_the_old_and_not_the_new(
    holder: Holder,
) -> None:
    old = holder.certificate()
    holder.content.agents.change(holder.id, "quarantine")
    holder.content.agents.change(holder.id, "release")
    new = holder.certificate()
    assert holder.judged(old) == REFUSED
    assert isinstance(holder.judged(new), VerifiedClient)


def test_operators_own_tool_is_followed_too(holder: Holder) -> None:
    """It opens the database itself, and tells the running world nothing."""
    der = holder.certificate()
    tool = Directory.open(directory_url(holder.folder), holder.folder / FOLDER)
    tool.quarantine(holder.id, actor="operator")
    assert holder.judged(der) == REFUSED


def test_what_takes_nothing_away_withdraws_nothing(holder: Holder) -> None:
    der = holder.certificate()
    holder.content.agents.directory.update(holder.id, actor="operator", owner="somebody else")
    assert isinstance(holder.judged(der), VerifiedClient)


def test_without_the_directory_nobody_is_believed(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    der = holder.certificate()

    def away(_: str) -> None:
        raise StoreDownError("directory")

    monkeypatch.setattr(holder.content.agents, "by_id", away)
    with pytest.raises(StoreDownError):
        holder.judged(der)
