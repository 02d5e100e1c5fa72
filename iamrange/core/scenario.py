"""A scenario: one attack, the work that must go on, and what is expected to stop the attack.

- A scenario's id comes from its path below `scenarios/`, and is never typed.
- The attack runs in a process of its own that holds the declared foothold and nothing else.
- The runner judges: an attack only says what it brought home.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.core.controls import Control, Invariant
    from iamrange.core.frameworks import Reference


class Part(StrEnum):
    """The part that an agent plays in the range. Its *name* is the stack's to choose."""

    DATA_ANALYST = "data-analyst"
    LOG_WRITER = "log-writer"
    DEPLOY_BOT = "deploy-bot"
    HR_ASSISTANT = "hr-assistant"
    PAYMENTS_AGENT = "payments-agent"
    FLEET_SENSOR = "fleet-sensor"
    CREDENTIAL_BROKER = "credential-broker"
    SUPPORT_LLM = "support-llm"
    PLATFORM_ADMIN = "platform-admin"


class Material(StrEnum):
    """What can be taken from a victim."""

    AWS_TOKEN = "aws-token"  # noqa: S105  # the kind of thing taken, not a secret
    GCP_TOKEN = "gcp-token"  # noqa: S105  # same
    VAULT_ASSERTION = "vault-assertion"
    """A token of the issuer's, made for the vault."""
    VAULT_SESSION = "vault-session"
    """What a login at the vault gave."""
    VAULT_HANDOVER = "vault-handover"
    """What the victim has handed to a worker, which has opened it: it lies in two environments."""
    DATABASE_LOGIN = "database-login"
    """A login at the database, as the vault has given it out."""
    AWS_SESSION = "aws-session"
    GCP_ACCESS_TOKEN = "gcp-access-token"  # noqa: S105  # same
    VENDOR_SESSION = "vendor-session"
    """A session of a vendor's software, at work for a customer that is not us."""
    NETWORK = "network"
    """A place in the network and nothing else."""
    CLIENT_KEY = "client-key"
    CLIENT_SECRET = "client-secret"  # noqa: S105  # same
    ACCESS_TOKEN = "access-token"  # noqa: S105  # same
    """An access token of our own token service, without the key that it may be bound to."""
    DPOP_SESSION = "dpop-session"
    """An access token with the key that it is bound to."""
    CLIENT_SESSION = "client-session"
    """A bound access token with its key, and the client's own private key."""
    CERTIFICATE = "certificate"
    """A service certificate with its private key."""
    APPROVED_SESSION = "approved-session"
    """A bound access token with its key, a human's approval that waits to be used, and one that has
    been used."""
    LOG_FOLDER = "log-folder"
    """The folder of the audit log, to read and to write, with whatever lies in it."""
    LOG_READER = "log-reader"
    """A bound access token with its key, of an agent that may read what services have logged: what
    another agent sent one of them is among it."""
    REPOSITORY = "repository"
    """A clone of the victim's git repository, with its history and with a decoy in it."""
    CONFIGURATION = "configuration"
    """A copy of the folder of the victim's configuration files, with a decoy in it."""
    DOCUMENT = "document"
    """A place in what the victim reads. The attack leaves documents there, and the victim obeys."""
    CAPTURED_REQUEST = "captured-request"
    """An access token with one proof of possession, as they went over the wire."""


class Response(StrEnum):
    """What the range's operators do about the victim between theft and use."""

    INCIDENT = "incident"
    """A new key, an end to its tokens, and the stack's own response to an incident."""
    OFFBOARDING = "offboarding"
    """The victim is retired: it does no more work."""
    KEY_ROTATION = "key-rotation"
    """The victim gets a new key, and the old one is withdrawn."""
    SECRET_ROTATION = "secret-rotation"  # noqa: S105  # a response's name
    """The victim's client secret is replaced, in the vault and where it is accepted."""


class Ability(StrEnum):
    """What a target must be able to do for some scenarios."""

    RUNS_FUNCTIONS = "runs-functions"
    """The code of a Lambda function is run, with the role that was passed to it."""
    JAILS_AGENTS = "jails-agents"
    """A process is given a network of its own: namespaces and a filter of system calls."""


class Network(StrEnum):
    """Where a process stands. Each network is a proxy with an address of its own."""

    CORPORATE = "corporate"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class History:
    """What the watch over the agents has seen of the victim before the attack.

    It is the victim's own work, once done and as it was recorded, repeated once a day for `days`
    days until yesterday. With `grows_to` it is done more often at a time, day by day, until it is
    so many times as much: whoever has the victim's keys can work that slowly.
    """

    days: int = 14
    grows_to: int = 1

    def times(self, day: int) -> int:
        """Return how often the work was done on this day, counted from 1."""
        return max(1, round(math.pow(self.grows_to, day / self.days)))


@dataclass(frozen=True, slots=True)
class Foothold:
    """What the attacker holds at the start, whose it was, and where it was lying.

    `tenant` is another tenant of the same issuer when the attacker is that tenant's own agent,
    named like the victim.
    """

    victim: Part
    takes: Material
    taken_from: str
    tenant: str | None = None


class AssetKind(StrEnum):
    """The things that canaries stand in for."""

    AWS_SECRET = "aws-secret"  # noqa: S105  # a kind of asset
    GCP_SECRET = "gcp-secret"  # noqa: S105  # same
    VAULT_SECRET = "vault-secret"  # noqa: S105  # same
    VAULT_BOOTSTRAP = "vault-bootstrap"
    """What an agent hands to workers that it starts."""
    DATABASE_RECORDS = "database-records"
    """What the database keeps of an agent's own."""
    AWS_RECORDS = "aws-records"
    AWS_DATA_KEY = "aws-data-key"
    AWS_VENDOR_REPORT = "aws-vendor-report"
    AWS_SILENCE = "aws-silence"
    """The power to act unseen: it is had when the account's audit trail records no more."""
    AWS_PLATFORM_SECRET = "aws-platform-secret"  # noqa: S105  # same
    AWS_BACKUP_SECRET = "aws-backup-secret"  # noqa: S105  # same
    GCP_BACKUP_SECRET = "gcp-backup-secret"  # noqa: S105  # same
    SERVICE_RECORDS = "service-records"
    """What the service that an agent works with keeps."""
    AGENT_RECORD = "agent-record"
    """What the service that an agent works with keeps of that agent's own."""
    SALARIES = "salaries"
    COLLEAGUES = "colleagues"
    CUSTOMER_PROFILES = "customer-profiles"
    ADMINISTRATION = "administration"
    """The power to run something on a service."""
    OLD_READING = "old-reading"
    """One of many: whoever does not know which has to try them all."""
    STAGING_DEPLOYMENT = "staging-deployment"
    """A deployment: it is made when its receipt is had."""
    PRODUCTION_DEPLOYMENT = "production-deployment"
    AUDIT_SILENCE = "audit-silence"
    """The power to have done nothing: it is had when the audit log does not name the victim."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing worth stealing. `of` is the agent it belongs to, where it belongs to one."""

    kind: AssetKind
    of: Part | None = None

    def __str__(self) -> str:
        """Name the asset for people."""
        return f"{self.kind}:{self.of}" if self.of else str(self.kind)


@dataclass(frozen=True, slots=True)
class AwsSession:
    """Credentials of AWS: temporary with a session token, long-lived without. Repr hides them."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DatabaseLogin:
    """A login at a PostgreSQL. Repr hides the password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """A foothold in the attacker's hands.

    `knows` are names that the attacker has learnt (the scenario declares which): ARNs, resource
    names, e-mail addresses; never a secret.
    """

    knows: Mapping[str, str]
    token: str | None = field(default=None, repr=False)
    aws_session: AwsSession | None = None
    gcp_access_token: str | None = field(default=None, repr=False)
    vault_token: str | None = field(default=None, repr=False)
    """A login's token, or whatever was handed on."""
    database_login: DatabaseLogin | None = None
    folder: str | None = None
    """A folder that the attacker has got into."""
    oauth: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What was taken of our own token service's: `access_token`, `dpop_key` and `client_key`
    (private JWKs), `proof` (and the `method` and `url` that it was made for), `client_secret`,
    `certificate` and `certificate_key` (PEM), `approval_id` and `used_approval_id`."""


@dataclass(frozen=True, slots=True)
class Loot:
    """What an attack brought home. The runner alone knows what it is worth.

    `documents` are what a `Material.DOCUMENT` is used for: texts that the victim reads next. What
    it then lets out to the attacker's own host is the loot.
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    documents: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Work:
    """What legitimate work gives: the nonce it read, and what then lies in the agent's memory."""

    nonce: str = field(repr=False)
    memory: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Workload:
    """Legitimate work of an agent: `run` reads `asset`'s value as the agent, on its own.

    A manager approves as many requests meanwhile as the work needs: `approvals`.
    """

    run: Callable[[Mapping[str, str]], Work]
    asset_kind: AssetKind
    knows: tuple[str, ...]
    approvals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One attack, as data. See the module's docstring for who does what.

    `knows` are dotted names of facts that the attacker has learnt: `victim.FACT`, `target.FACT`,
    `aws.FACT`, `gcp.FACT`. `ages` moves the world's clock by that many seconds between theft and
    use. `response` is what the operators do about the victim between the two. `needs` are
    abilities that not every target has. With `wearies_after` there is a manager who reads requests
    for approval with care until so many wait, and then signs whatever comes, to have peace. With
    `history` there is a watch over the agents, which has seen this; without, the range is too young
    for one.
    """

    claim: str
    blocked_by: tuple[Control | Invariant, ...]
    foothold: Foothold
    asset: Asset
    knows: tuple[str, ...]
    legitimate: Workload
    attack: Callable[[Taken], Loot]
    maps_to: tuple[Reference, ...]
    lesson: str
    bystander: Part = Part.LOG_WRITER
    network: Network = Network.CORPORATE
    ages: float = 0.0
    response: Response | None = None
    needs: frozenset[Ability] = frozenset()
    wearies_after: int | None = None
    history: History | None = None

    def __post_init__(self) -> None:
        """Refuse a scenario that could prove nothing."""
        for name in ("claim", "blocked_by", "knows", "maps_to", "lesson"):
            if not getattr(self, name):
                msg = f"scenario '{self.claim}': {name} expected at least one entry, got none"
                raise ValueError(msg)
        if self.bystander == self.foothold.victim:
            msg = f"scenario '{self.claim}': bystander expected another agent than the victim"
            raise ValueError(msg)
        kinds = {type(guard) for guard in self.blocked_by}
        if len(kinds) > 1:
            msg = f"scenario '{self.claim}': blocked_by expected controls or invariants, got both"
            raise ValueError(msg)
