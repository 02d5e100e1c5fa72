"""The Google Cloud package: its types, functions and configuration."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from iamrange.engine.gcp_types import accounts, bindings, policies, pools, secrets
from iamrange.engine.gcp_types.functions import FUNCTIONS
from iamrange.engine.gcp_types.session import GcpSession, describe
from iamrange.engine.package import ConfigurationError, Package

if TYPE_CHECKING:
    from iamrange.engine.endpoints import GcpEndpoint
    from iamrange.engine.resource import Properties, ResourceType

TYPES: Final[tuple[ResourceType[GcpSession], ...]] = (
    *pools.TYPES,
    *bindings.TYPES,
    *accounts.TYPES,
    *secrets.TYPES,
    *policies.TYPES,
)
_OWN: Final = "the embedded provider takes {} from its own process; leave it out of this stack"


def gcp_package(endpoint: GcpEndpoint | None) -> Package:
    """Return the package on an endpoint; without one every configuration is refused."""

    def open_session(config: Properties) -> GcpSession:
        if endpoint is None:
            raise ConfigurationError("this range has no Google Cloud")
        return GcpSession(endpoint, config)

    return Package(
        name="gcp",
        version=version("pulumi-gcp"),
        types={kind.token: kind for kind in TYPES},
        functions={function.token: function for function in FUNCTIONS},
        open_session=open_session,
        settings=frozenset({"project", "region", "zone", "defaultLabels"}),
        # quota, attribution and timing are of no concern to a range
        ignored=frozenset(
            {
                "addPulumiAttributionLabel",
                "pulumiAttributionLabelAdditionStrategy",
                "billingProject",
                "userProjectOverride",
                "disableGooglePartnerName",
                "googlePartnerName",
                "requestReason",
                "requestTimeout",
                "pollInterval",
                "batching",
                "scopes",
            }
        ),
        refused={
            "accessToken": _OWN.format("its credentials"),
            "credentials": _OWN.format("its credentials"),
            "externalCredentials": _OWN.format("its credentials"),
            "impersonateServiceAccount": _OWN.format("its credentials"),
        },
        describe=describe,
    )
