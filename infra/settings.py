"""The only reader of stack configuration: what the stack file says, as typed values.

- Everything is checked before the first resource is declared.
- A control is on unless the stack says otherwise, and may be off only where the stack names the
  account or project that becomes weak: a copied file with other accounts in it is refused.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime import config as runtime_config

from iamrange.core.controls import CONTROLS, Layer, SwitchedIn
from infra import names
from infra.expectations import Found, SettingsError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LABEL = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
LABEL_EXPECTED = "a lower-case DNS label of at most 40 characters"
HOST = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"

_REQUIRED = ("issuer", "tenant", "accounts", "gcp", "corporate-networks", "agents")
_OPTIONAL = (
    "trust-domain",
    "vendor",
    "vault",
    "controls",
    "incidents",
    "allow-unsafe-in",
    "people",
)
"""`people` approve what agents do at our own services: no resource of a cloud comes of them."""

_LEASE = 900
_DATABASE_URL = (
    r"postgresql://\{\{username\}\}:\{\{password\}\}@"
    rf"({HOST}(:\d{{1,5}})?)?/[a-z][a-z0-9_-]{{0,62}}(\?[a-z0-9_=&-]*)?"
)
_SHORTEST_LEASE, _LONGEST_LEASE = 1, 3600


class Classification(StrEnum):
    """The highest classification that an agent may touch."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class Power(StrEnum):
    """What an agent may do beyond reading its own secret and its project's records."""

    DEPLOY_ROLE_POLICIES = "deploy-role-policies"
    DEPLOY_FUNCTIONS = "deploy-functions"
    MANAGE_SERVICE_KEYS = "manage-service-keys"
    ADMINISTER_ACCOUNT = "administer-account"
    QUERY_DATABASE = "query-database"


class Task(StrEnum):
    """What an agent's sessions are cut to, whatever else its role serves for."""

    READ_OWN_SECRET = "read-own-secret"  # noqa: S105 - a kind of task


ADMINISTRATION = frozenset({Power.MANAGE_SERVICE_KEYS, Power.ADMINISTER_ACCOUNT})
"""The powers that an agent's own boundary does not reach: they need the administrators'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The AWS accounts of the landing zone."""

    management: str
    workloads: str
    security: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gcp:
    """The Google Cloud organisation and the project that holds the agents."""

    organization: str
    project: str
    project_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """Somebody else's account that may come into ours, and the name that it has for us there."""

    account: str
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """The vault that agents fetch from; `lease` is how long a login there is good, in seconds.

    `database` is the URL of a PostgreSQL that it makes logins of, which are good as long.
    """

    address: str
    lease: int
    database: str | None = None

    @property
    def host(self) -> str:
        """The vault's name, by which it is allowed to be weak."""
        return self.address.removeprefix("https://")

    @property
    def database_name(self) -> str:
        """What the database is called where its server keeps it; empty without one."""
        return (self.database or "").rpartition("/")[2].partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent as declared. `part` is its stable role in the range; its name may change freely."""

    part: str
    name: str
    owner: str
    purpose: str
    project: str
    classification: Classification
    expires: str
    powers: frozenset[Power]
    task: Task | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the stack file says. `incidents` is by part: when the incident was declared."""

    issuer: str
    trust_domain: str
    tenant: str
    region: str
    accounts: Accounts
    gcp: Gcp
    corporate_networks: tuple[str, ...]
    vendor: Vendor | None
    vault: Vault | None
    agents: tuple[Agent, ...]
    incidents: Mapping[str, str]
    left_out: frozenset[str]

    @property
    def projects(self) -> tuple[str, ...]:
        """Return the projects that agents work on, each once."""
        return tuple(sorted({agent.project for agent in self.agents}))

    @property
    def querying(self) -> tuple[Agent, ...]:
        """Return the agents that query the database, where there is one."""
        if self.vault is None or self.vault.database is None:
            return ()
        return tuple(agent for agent in self.agents if Power.QUERY_DATABASE in agent.powers)


def load() -> Settings:
    """Read the configuration of the stack that is running.

    Raises:
        SettingsError: a value is missing, unknown or not what was expected.
    """
    own = pulumi.Config()
    written = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    prefix = f"{own.name}:"
    for key in sorted(key for key in written if key.startswith(prefix)):
        _refuse_unknown_key(key, key.removeprefix(prefix))
    values: dict[str, object] = {
        key: own.get(key) if key in ("issuer", "tenant", "trust-domain") else own.get_object(key)
        for key in (*_REQUIRED, *_OPTIONAL)
    }
    return settings_from(values, region=pulumi.Config("aws").get("region"))


def _refuse_unknown_key(key: str, name: str) -> None:
    known = (*_REQUIRED, *_OPTIONAL)
    if name not in known:
        raise SettingsError(f"{key}: expected a known setting; {nearest(name, known)}")


def settings_from(values: Mapping[str, object], *, region: object) -> Settings:
    """Check the values of the stack's own settings, by name without `iamrange:`.

    Raises:
        SettingsError: a value is missing, unknown or not what was expected.
    """
    found = {key: Found(f"iamrange:{key}", values.get(key)) for key in (*_REQUIRED, *_OPTIONAL)}
    agents = _agents(found["agents"])
    accounts = _accounts(found["accounts"])
    gcp = _gcp(found["gcp"])
    vault = _vault(found["vault"])
    return Settings(
        # no port and no query: IAM refuses them in the URL of an OIDC provider
        issuer=found["issuer"].text(
            rf"https://{HOST}(/[A-Za-z0-9._~/-]*)?",
            "an https URL without port and query",
            "write the issuer exactly as its tokens do, for example https://idp.example.com",
        ),
        trust_domain=_default(found["trust-domain"], "iamrange.example").text(
            HOST, "the host name of a SPIFFE trust domain", "for example agents.example.com"
        ),
        tenant=found["tenant"].text(LABEL, LABEL_EXPECTED, "for example iamrange"),
        region=Found("aws:region", region).text(
            r"[a-z]{2}(-[a-z]+)+-\d",
            "an AWS region",
            "`pulumi config set aws:region us-east-1` sets it",
        ),
        accounts=accounts,
        gcp=gcp,
        corporate_networks=_networks(found["corporate-networks"]),
        vendor=_vendor(found["vendor"], accounts),
        vault=vault,
        agents=agents,
        incidents=_incidents(_default(found["incidents"], {}), agents),
        left_out=_left_out(
            _default(found["controls"], {}),
            _default(found["allow-unsafe-in"], []),
            {
                Layer.AWS: accounts.workloads,
                Layer.GCP: gcp.project,
                Layer.SECRETS: "a vault" if vault is None else vault.host,
            },
        ),
    )


def _default(found: Found, value: object) -> Found:
    return Found(found.path, value) if found.value is None else found


def _accounts(found: Found) -> Accounts:
    ids = {
        name: member.text(
            r"\d{12}", "an AWS account id of 12 digits in quotes", 'for example "100000000001"'
        )
        for name, member in found.members(("management", "workloads", "security")).items()
    }
    if len(set(ids.values())) < len(ids):
        found.refuse("three different accounts", "SCPs do not bind the management account")
    return Accounts(
        management=ids["management"], workloads=ids["workloads"], security=ids["security"]
    )


def _vendor(found: Found, ours: Accounts) -> Vendor | None:
    if found.value is None:
        return None
    members = found.members(("account", "external-id"))
    account = members["account"].text(
        r"\d{12}", "an AWS account id of 12 digits in quotes", 'for example "900000000009"'
    )
    if account in (ours.management, ours.workloads, ours.security):
        members["account"].refuse("an account that is not ours", "a vendor's is the vendor's own")
    return Vendor(
        account=account,
        # what STS takes, and long enough that nobody comes upon it
        external_id=members["external-id"].text(
            r"[\w+=,.@:/-]{16,1224}", "16 to 1224 characters that STS takes", "the vendor gives it"
        ),
    )


def _vault(found: Found) -> Vault | None:
    if found.value is None:
        return None
    members = found.members(("address",), ("lease", "database"))
    database = members["database"]
    return Vault(
        # also the audience of the tokens that open it: one spelling, so no port and no path
        address=members["address"].text(
            rf"https://{HOST}",
            "an https URL of a host alone",
            "for example https://vault.example.com",
        ),
        lease=_seconds(_default(members["lease"], _LEASE)),
        database=(
            None
            if database.value is None
            else database.text(
                _DATABASE_URL,
                "a postgresql:// URL with {{username}}:{{password}} in the place of a login",
                "for example postgresql://{{username}}:{{password}}@db.example.com:5432/records; "
                "without a host the vault goes by its own PGHOST and PGPORT",
            )
        ),
    )


def _seconds(found: Found) -> int:
    if not isinstance(found.value, int) or isinstance(found.value, bool):
        found.refuse("a number of seconds", "for example 900")
    if not _SHORTEST_LEASE <= found.value <= _LONGEST_LEASE:
        found.refuse(
            f"{_SHORTEST_LEASE} to {_LONGEST_LEASE} seconds", "agents log in for each piece of work"
        )
    return found.value


def _gcp(found: Found) -> Gcp:
    members = found.members(("organization", "project", "project-number"))
    number = "a number in quotes"
    return Gcp(
        organization=members["organization"].text(
            r"\d{1,19}", number, "`gcloud organizations list` shows it"
        ),
        project=members["project"].text(
            r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "a project id", "for example iamrange-agents"
        ),
        project_number=members["project-number"].text(
            r"\d{1,19}", number, "`gcloud projects describe PROJECT` shows it"
        ),
    )


def _networks(found: Found) -> tuple[str, ...]:
    advice = 'write networks in CIDR form, for example ["203.0.113.0/24"]'
    networks = []
    for item in found.items(advice, at_least=1):
        text = item.text(r"[0-9a-fA-F.:]+/\d+", "a network in CIDR form", advice)
        try:
            networks.append(str(ipaddress.ip_network(text)))
        except ValueError as error:
            item.refuse(f"a network in CIDR form ({error})", advice)
    return tuple(networks)


def _agents(found: Found) -> tuple[Agent, ...]:
    agents = tuple(_agent(item) for item in found.items("declare agents there", at_least=1))
    for what, derive in _UNIQUE:
        seen: dict[str, Agent] = {}
        for agent in agents:
            other = seen.setdefault(derive(agent), agent)
            if other is not agent:
                raise SettingsError(
                    f"{found.path}: expected one agent per {what}, got '{derive(agent)}' for "
                    f"'{other.part}' and '{agent.part}'; give one of them another"
                )
    return agents


_UNIQUE: tuple[tuple[str, Callable[[Agent], str]], ...] = (
    ("part", lambda agent: agent.part),
    ("name", lambda agent: agent.name),
    ("service account", lambda agent: names.gcp_account_id(agent.name)),
)


def _agent(found: Found) -> Agent:
    members = found.members(
        ("part", "owner", "purpose", "project", "classification", "expires"),
        ("name", "powers", "scopes", "task"),
    )
    part = members["part"].text(LABEL, LABEL_EXPECTED, "for example data-analyst")
    powers = _default(members["powers"], []).items(f"known are {', '.join(Power)}")
    # the token service's, not the clouds': checked here, used by the directory of the range
    for scope in _default(members["scopes"], []).items("for example read:customers"):
        scope.text(r"[a-z]+:[a-z][a-z-]*", "a scope like verb:thing", "for example read:customers")
    return Agent(
        part=part,
        name=_default(members["name"], part).text(LABEL, LABEL_EXPECTED, "for example analyst-7"),
        # it becomes the value of a tag: IAM's characters, and no more of them than a tag may have
        owner=members["owner"].text(
            r"[\w .:/=+@-]{1,256}", "letters, digits and any of _.:/=+-@", "a mail address will do"
        ),
        # it becomes a description: 256 bytes on Google Cloud, Latin-1 characters on AWS
        purpose=members["purpose"].text(
            r"[\x20-\x7e\xa1-\xff]{1,120}", "a sentence of at most 120 characters", "keep it short"
        ),
        project=members["project"].text(LABEL, LABEL_EXPECTED, "for example analytics"),
        classification=Classification(
            members["classification"].one_of(Classification, "classification")
        ),
        expires=_day(members["expires"]),
        task=(
            None if members["task"].value is None else Task(members["task"].one_of(Task, "task"))
        ),
        powers=frozenset(Power(item.one_of(Power, "power")) for item in powers),
    )


def _day(found: Found) -> str:
    advice = "write the day in quotes as YYYY-MM-DD"
    text = found.text(r"\d{4}-\d{2}-\d{2}", "a day", advice)
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        found.refuse(f"a day of the calendar ({error})", advice)


def _incidents(found: Found, agents: tuple[Agent, ...]) -> dict[str, str]:
    parts = [agent.part for agent in agents]
    incidents = {}
    for part, declared in found.entries("write agent parts and times there").items():
        Found(declared.path, part).one_of(parts, "agent part")
        incidents[part] = _moment(declared)
    return incidents


def _moment(found: Found) -> str:
    """Return the moment as IAM writes it, rounded up: no session of that instant slips through."""
    expected, advice = "a time with its zone", 'for example "2026-11-25T15:00:00Z", in quotes'
    text = found.text(r"[0-9T:.Z+-]+", expected, advice)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found.refuse(expected, advice)
    if moment.tzinfo is None:
        found.refuse(expected, advice)
    seconds = -(-moment.timestamp() // 1)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _left_out(controls: Found, allowed: Found, place: Mapping[Layer, str]) -> frozenset[str]:
    left_out = set()
    for id_, state in controls.entries("write control ids and true or false there").items():
        controls.member(id_, id_).one_of(CONTROLS, "control")
        left = not state.flag("false leaves the control out, true or no entry keeps it")
        # what the range's own services leave out is theirs to do: nothing of it is provisioned
        if left and CONTROLS[id_].switched_in is SwitchedIn.STACK:
            left_out.add(id_)
    named = {
        item.text(r".+", "an account or project id in quotes", "")
        for item in allowed.items("name the accounts and projects that may be weak")
    }
    for id_ in sorted(left_out):
        where = place[CONTROLS[id_].layer]
        if where not in named:
            Found(controls.member(id_, None).path, value=False).refuse(
                "true",
                f"to leave the control out weakens '{where}': if that is a range and nothing else, "
                f"name it in {allowed.path}",
            )
    return frozenset(left_out)
