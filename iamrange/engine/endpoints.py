"""Where the embedded providers find their clouds, and as whom they act.

- Given by the process that serves the providers, never by stack configuration or state: refresh
  and destroy read the provider's configuration from the state, which a snapshot may have copied
  from another world.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AWS access key; its representation hides the secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AwsEndpoint:
    """An AWS endpoint and the administrators' keys by account id.

    `management` is the account whose administrator acts when the configuration names none, and
    who assumes roles; it is the first account when not given.
    """

    url: str
    accounts: Mapping[str, AccessKey]
    management: str | None = None
    region: str = "us-east-1"

    @property
    def default_account(self) -> str:
        """The account that acts when the configuration names none."""
        return self.management or next(iter(self.accounts))


@dataclass(frozen=True, slots=True)
class GcpEndpoint:
    """A Google Cloud endpoint and the administrators' access tokens by project id."""

    url: str
    tokens: Mapping[str, str] = field(repr=False)
    numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_project(self) -> str:
        """The project that acts when the configuration names none."""
        return next(iter(self.tokens))


@dataclass(frozen=True, slots=True)
class VaultEndpoint:
    """The endpoint of a vault, and the token of whoever administers it."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderEndpoints:
    """The clouds that a range's providers talk to; an absent one makes its package refuse."""

    aws: AwsEndpoint | None = None
    gcp: GcpEndpoint | None = None
    vault: VaultEndpoint | None = None
