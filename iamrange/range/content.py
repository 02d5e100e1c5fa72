"""What a world holds, apart from any socket: the clouds, the directory, the issuer, the broker.

- Built once, carried along by a fork; nothing in it belongs to one event loop.
- The clouds reach issuers, sinks and tampers through ports that a fork re-points.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.clouds.fetch import Fetched, Fetcher, FetchError
from iamrange.core import aws_controls
from iamrange.core.clock import OffsetClock, SystemClock
from iamrange.core.decision import LayerAnswer, Tamper, honest
from iamrange.credentials.database.holdings import DatabaseState
from iamrange.credentials.redaction.redactor import new_redactor
from iamrange.credentials.vault.app import VaultState
from iamrange.identity.broker import Broker
from iamrange.identity.issuer import Issuer
from iamrange.identity.sts import AsgiSts
from iamrange.range.functions import SwitchedFunctions
from iamrange.range.identity_services import IdentityServices
from iamrange.range.records import RecordFile
from iamrange.range.world_directory import WorldDirectory

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from iamrange.network.edge import Receive, Scope, Send
    from iamrange.range.config import WorldConfig

BROKER_NETWORK = "corporate"


class AwsPort(Protocol):
    """What a world asks of its AWS cloud."""

    def create_account(self, account_id: str) -> Any:  # noqa: ANN401 - the cloud's own AccessKey
        """Make an account with an administrator, whose key is returned."""
        ...

    def create_organization(self, management_id: str, member_ids: Sequence[str]) -> None:
        """Make an organisation of existing accounts."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        ...

    async def close(self) -> None:
        """Close the connections that the running loop holds."""
        ...


class GcpPort(Protocol):
    """What a world asks of its Google cloud."""

    def create_organization(self, organization_id: str) -> None:
        """Make an organisation."""
        ...

    def create_project(
        self, project_id: str, number: str, *, organization: str | None = None
    ) -> str:
        """Make a project; return an administrator's access token."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        ...


def imported(path: str) -> Any:  # noqa: ANN401 - whatever is there
    """Return what the import path `module:attribute` names.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such attribute.
    """
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


class SwitchedTamper:
    """The seam of every decision point of one world: honest until a rogue is switched on."""

    def __init__(self, rogues: Mapping[str, str]) -> None:
        """Take the rogues that may be switched on: name -> `module:attribute`."""
        self._rogues = dict(rogues)
        self._current: Tamper = honest

    def __call__(self, point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        """Pass the layers through the one that is switched on."""
        return self._current(point, layers)

    def switch(self, name: str | None, arguments: Mapping[str, Any] | None = None) -> None:
        """Switch a rogue on, or with None back to honest.

        With arguments the attribute is a factory that is called with them.

        Raises:
            ValueError: no rogue of that name was declared when the world was made.
        """
        if name is None:
            self._current = honest
            return
        if name not in self._rogues:
            raise ValueError(f"rogue {name!r}: declared are {sorted(self._rogues)}")
        found = imported(self._rogues[name])
        self._current = found if arguments is None else found(**arguments)


class SwitchedFetcher:
    """Fetches through whatever the world's listeners are now."""

    def __init__(self) -> None:
        """Start without any way out."""
        self.target: Fetcher | None = None

    async def fetch(self, url: str) -> Fetched:
        """Return the answer.

        Raises:
            FetchError: there is none, or the world does not listen yet.
        """
        if self.target is None:
            raise FetchError("the world does not listen yet")
        return await self.target.fetch(url)


def _aws_options(config: WorldConfig) -> dict[str, Any]:
    """Return what differs from the AWS cloud's defaults, as its own arguments."""
    options: dict[str, Any] = _remote(config)
    if config.aws_unmapped != "deny":
        options["unmapped"] = config.aws_unmapped
    if config.aws_explain:
        options["explain"] = True
    return options


def _remote(config: WorldConfig) -> dict[str, Any]:
    """Return the emulator that holds AWS's resources, as the cloud's own argument."""
    if config.aws_upstream is None:
        return {}
    # By path, as the clouds are: a world without one needs no HTTP client for its store.
    remote = imported("iamrange.clouds.aws.upstream_remote:RemoteUpstream")
    known = (config.aws_upstream, config.aws_upstream_kind, config.aws_upstream_lacking)
    return {"remote": remote(*known)}


class Content:
    """A world's state and its apps."""

    def __init__(self, config: WorldConfig, folder: Path) -> None:
        """Make the clouds, accounts, projects and agents of the configuration.

        The directory and the records lie in the folder.
        """
        self.config = config
        self.clock = OffsetClock(config.clock_offset)
        self.redactor = new_redactor()
        self.records = RecordFile(folder, self.redactor)
        self.tamper = SwitchedTamper(config.rogues)
        self.fetcher = SwitchedFetcher()
        self.functions = SwitchedFunctions()
        ports: dict[str, Any] = {
            "clock": self.clock,
            "records": self.records,
            "tamper": self.tamper,
        }
        self.aws: AwsPort = imported(config.aws_cloud)(
            **ports, fetcher=self.fetcher, functions=self.functions, **_aws_options(config)
        )
        self.gcp: GcpPort = imported(config.gcp_cloud)(**ports, fetcher=self.fetcher)
        self.agents = WorldDirectory(folder, self.clock)
        self.issuer = Issuer(agents=self.agents, **ports)
        source = config.networks.get(BROKER_NETWORK, "127.0.0.1")
        self.broker = Broker(
            agents=self.agents,
            issuer=self.issuer,
            sts=AsgiSts(self.aws, source_address=source),
            run_id=config.run_id,
            **ports,
        )
        self.vault = VaultState()
        self.database = DatabaseState()
        self.identity = IdentityServices(
            agents=self.agents,
            real_clock=SystemClock(),
            cloud_minter=self.issuer.mint,
            redactor=self.redactor,
            policy=None if config.policy is None else Path(config.policy),
            **ports,
        )
        self.switch(config.off)
        self.aws_keys: dict[str, dict[str, str]] = {}
        self.gcp_tokens: dict[str, str] = {}
        self._populate()

    def switch(self, off: Collection[str]) -> None:
        """Have exactly these controls off, of those that work in the world's own services."""
        self.identity.switch(off)
        self.broker.unsafe_whole_role = aws_controls.SESSION_POLICY.id in off

    def move_to(self, folder: Path) -> None:
        """Go on in a fork's own folder, where a copy of the directory lies."""
        self.records.move_to(folder)
        self.agents.reopen(folder)
        self.identity.moved()

    def _populate(self) -> None:
        config = self.config
        for account in config.aws_accounts:
            key = self.aws.create_account(account)
            self.aws_keys[account] = {
                "access_key_id": key.access_key_id,
                "secret_access_key": key.secret_access_key,
            }
        if config.aws_organization is not None:
            self.aws.create_organization(config.aws_organization, list(config.aws_members))
        if config.gcp_organization is not None:
            self.gcp.create_organization(config.gcp_organization)
        for project in config.gcp_projects:
            self.gcp_tokens[project.id] = self.gcp.create_project(
                project.id, project.number, organization=project.organization
            )
        for registration in config.agents:
            self.agents.register(registration)
