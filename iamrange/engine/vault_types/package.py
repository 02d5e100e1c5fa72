"""The Vault package: its types and configuration."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from iamrange.engine.package import ConfigurationError, Package
from iamrange.engine.vault_types import database, jwt, mounts, pki, transit
from iamrange.engine.vault_types.session import VaultSession, describe

if TYPE_CHECKING:
    from iamrange.engine.endpoints import VaultEndpoint
    from iamrange.engine.resource import Properties, ResourceType

TYPES: Final[tuple[ResourceType[VaultSession], ...]] = (
    *mounts.TYPES,
    *jwt.TYPES,
    *database.TYPES,
    *pki.TYPES,
    *transit.TYPES,
)
_OWN: Final = "the embedded provider takes its credentials from its own process"


def vault_package(endpoint: VaultEndpoint | None) -> Package:
    """Return the package on an endpoint; without one every configuration is refused."""

    def open_session(_config: Properties) -> VaultSession:
        if endpoint is None:
            raise ConfigurationError(
                "this range has no vault; leave Vault resources out of this stack"
            )
        return VaultSession(endpoint)

    return Package(
        name="vault",
        version=version("pulumi-vault"),
        types={kind.token: kind for kind in TYPES},
        functions={},
        open_session=open_session,
        settings=frozenset(),
        # where the vault is, this process knows better; how it is called is the official plugin's
        ignored=frozenset(
            {
                "address",
                "addAddressToEnv",
                "caCertFile",
                "maxLeaseTtlSeconds",
                "maxRetries",
                "maxRetriesCcc",
                "skipChildToken",
                "skipGetVaultVersion",
                "tlsServerName",
                "tokenName",
                "vaultVersionOverride",
            }
        ),
        refused=dict.fromkeys(("token", "authLoginJwt", "authLoginTokenFile"), _OWN),
        describe=describe,
    )
