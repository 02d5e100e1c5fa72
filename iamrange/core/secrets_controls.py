"""The controls that work in the vault, and those that keep credentials from lying around."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, Refusal, SwitchedIn, own_control
from iamrange.core.decision import Effect

SEARCHED = "repository.search"
"""The decision point of whoever searches what an attacker has searched, and finds a decoy alone."""
LOG_SEARCHED = "log.search"
"""The same for who searches the services' log, and finds a mark where the secret had been."""

_ROLE = "vault:jwt/authBackendRole:AuthBackendRole"
_POLICY = "vault:index/policy:Policy"
_DATABASE = "vault:database/secretBackendConnection:SecretBackendConnection"
_DATABASE_ROLE = "vault:database/secretBackendRole:SecretBackendRole"
_DATABASE_STATIC_ROLE = "vault:database/secretBackendStaticRole:SecretBackendStaticRole"

VAULT_BOUND_CLAIMS = Control(
    id="secrets.vault-bound-claims",
    layer=Layer.SECRETS,
    summary="A role of the vault is opened by one agent's tokens: subject, name and tenant.",
    without_it="The role is bound to the audience alone: whoever has a token may be any agent.",
    refusal=Refusal(point="vault.login", layer="bound-claims", effect=Effect.DENY),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI4, fw.ASI03, fw.IA_9),
)
VAULT_POLICY_PER_AGENT = Control(
    id="secrets.vault-policy-per-agent",
    layer=Layer.SECRETS,
    summary="Each agent's policy in the vault names its own path, and no other.",
    without_it="The policies name the store with a wildcard: one agent reads what all have.",
    refusal=Refusal(
        point="vault.authorize",
        layer="policy",
        effect=Effect.IMPLICIT_DENY,
        action="vault:GET",
    ),
    touches=frozenset({_POLICY}),
    maps_to=(fw.NHI5, fw.NHI2, fw.AC_6),
)
SHORT_LEASES = Control(
    id="secrets.short-leases",
    layer=Layer.SECRETS,
    summary="What a login at the vault gives ends by itself, soon after the work is done.",
    without_it="The role sets no life: a token is good for the vault's default of 32 days.",
    refusal=Refusal(
        point="vault.authenticate", layer="token", effect=Effect.DENY, reason="unknown-token"
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI7, fw.ASI03, fw.IA_5),
)
SINGLE_USE_WRAPPING = Control(
    id="secrets.single-use-wrapping",
    layer=Layer.SECRETS,
    summary="What is handed on is wrapped: a token that opens it once, and never the secret.",
    without_it="The policy asks for no wrapping: what is handed on is the secret itself.",
    refusal=Refusal(
        point="vault.unwrap", layer="wrapping-token", effect=Effect.DENY, reason="used-or-unknown"
    ),
    touches=frozenset({_POLICY}),
    maps_to=(fw.NHI2, fw.ASI03, fw.IA_5),
)
DYNAMIC_DATABASE_CREDENTIALS = Control(
    id="secrets.dynamic-database-credentials",
    layer=Layer.SECRETS,
    summary="A login at the database is made for one piece of work, and dropped with its lease.",
    without_it="There is one login with one password for all: whoever has once read it is let in "
    "until somebody changes it.",
    refusal=Refusal(point="database.connect", layer="role", effect=Effect.DENY, reason="login-*"),
    touches=frozenset({_DATABASE, _DATABASE_ROLE, _DATABASE_STATIC_ROLE, _POLICY}),
    maps_to=(fw.NHI7, fw.ASI03, fw.IA_5),
)
NO_HARD_CODED_CREDENTIALS = Control(
    id="secrets.no-hard-coded-credentials",
    layer=Layer.SECRETS,
    summary="An agent's key lies in its home alone: its repository and configuration hold none.",
    without_it="The key was written down where it is copied: in a file that agents share, or in a "
    "commit, where it stays when the next commit deletes it.",
    refusal=Refusal(point=SEARCHED, layer="search", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.NHI2, fw.T1552_001, fw.IA_5_7),
    switched_in=SwitchedIn.WORLD,
)
REDACTION = Control(
    id="secrets.redaction",
    layer=Layer.SECRETS,
    summary="What services log of their calls has a keyed mark in the place of each secret.",
    without_it="A service logs what it was called with, as it was: whoever may read the log finds "
    "in it what others work with.",
    refusal=Refusal(point=LOG_SEARCHED, layer="search", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.NHI2, fw.T1552_001, fw.IA_5_7),
    switched_in=SwitchedIn.WORLD,
)
ROTATION = own_control(
    Layer.SECRETS,
    "rotation",
    summary="A secret that leaked is replaced, and its old value is refused before that is done.",
    without_it="The vault has a new value; nobody ends the old one where it is accepted.",
    point="as.token",
    layer="client",
    reason="wrong-secret",
    maps_to=(fw.NHI7, fw.NHI2, fw.IA_5),
)
CONTROLS = (
    VAULT_BOUND_CLAIMS,
    VAULT_POLICY_PER_AGENT,
    SHORT_LEASES,
    SINGLE_USE_WRAPPING,
    DYNAMIC_DATABASE_CREDENTIALS,
    NO_HARD_CODED_CREDENTIALS,
    REDACTION,
    ROTATION,
)
"""All of them, in the order in which they are listed."""
