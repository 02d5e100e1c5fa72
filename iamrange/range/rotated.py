"""The victim's client secret, replaced by a real rotation: vault, directory, proof.

- Without the control the vault has a new value, and the directory still takes the old one.
"""

from __future__ import annotations

import secrets
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from iamrange.core import secrets_controls
from iamrange.core.clock import SystemClock
from iamrange.credentials.inventory.aws import AwsAccess
from iamrange.credentials.rotation.aws import SecretsManagerVault
from iamrange.credentials.rotation.directory import ClientSecret
from iamrange.credentials.rotation.journal import Journal, JournalError
from iamrange.credentials.rotation.ports import GoneError, PortDownError
from iamrange.credentials.rotation.run import Parts, StillAcceptedError, rotate
from iamrange.credentials.rotation.states import State
from iamrange.identity.agent_home import credentials_in
from iamrange.identity.directory.directory import Directory
from iamrange.identity.stores.errors import StoreDownError
from iamrange.range.processes import ProcessError
from iamrange.range.world_directory import FOLDER, directory_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.core.scenario import Part
    from iamrange.range.deployment import Deployment

JOURNAL = "rotations"
_BROKEN = (
    PortDownError,
    GoneError,
    StillAcceptedError,
    JournalError,
    StoreDownError,
    ClientError,
    BotoCoreError,
)


def rotate_client_secret(world: Deployment, victim: Part) -> None:
    """Replace the victim's client secret in this world.

    Raises:
        ProcessError: it was not replaced to the end; the message says what was in the way.
    """
    try:
        _rotate(world, victim)
    except _BROKEN as error:
        raise ProcessError(f"rotation of {victim}'s client secret: {error}") from error


def _rotate(world: Deployment, victim: Part) -> None:
    agent = world.stage.agents[victim]
    with _vault(world, victim) as vault:
        if secrets_controls.ROTATION.id in world.off:
            vault.promote(vault.current(), vault.stage(_token(), secrets.token_urlsafe(24)))
            return
        folder = world.world.folder
        with closing(Directory.open(directory_url(folder), folder / FOLDER)) as directory:
            done = rotate(
                Parts(
                    vault=vault, acceptor=ClientSecret(directory, agent["spiffe_id"]), consumers=()
                ),
                Journal(folder / JOURNAL),
                SystemClock(),
                reason="incident",
            )
        if done.state is not State.DONE:
            raise ProcessError(f"rotation of {vault.name}: expected done, got {done.state}")


@contextmanager
def _vault(world: Deployment, victim: Part) -> Iterator[SecretsManagerVault]:
    """Yield a secret in the workloads account that holds what the victim has, made for this.

    Worlds may share an emulator's store: it is named for this world, and gone afterwards.
    """
    account = world.landing.workloads
    access = AwsAccess(
        account=account,
        region=world.landing.region,
        endpoint=world.world.aws_endpoint,
        key=world.world.aws_keys[account],
    )
    name = f"rotation/{world.world.folder.name}/{world.stage.agents[victim]['name']}"
    client: Any = access.client("secretsmanager")
    client.create_secret(
        Name=name, SecretString=credentials_in(world.homes[victim])["client_secret"]
    )
    try:
        yield SecretsManagerVault(access, name)
    finally:
        client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def _token() -> str:
    return secrets.token_hex(16)
