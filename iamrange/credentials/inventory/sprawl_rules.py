"""The rules of sprawl, each declared once as data, with the thresholds that they go by. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from iamrange.credentials.inventory.gather import HOLDERS, Fact, Kind
from iamrange.credentials.inventory.owners import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.credentials.inventory.gather import Credential
    from iamrange.credentials.inventory.owners import Owner

DAY: Final = 86_400.0
_HOUR: Final = 3_600.0
LONG_LIVED: Final = frozenset({Kind.AWS_ACCESS_KEY, Kind.GOOGLE_KEY, Kind.CLIENT_SECRET})


class SettingError(ValueError):
    """A threshold that is none: the message names it and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The thresholds. Days are of 24 hours."""

    max_age_days: float = 90
    rotated_within_days: float = 30
    used_within_days: float = 90
    credentials_per_agent: float = 8
    login_hours: float = 24

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Settings:
        """Read thresholds by name; what is not given keeps its default.

        Raises:
            SettingError: there is no such threshold, or it is no number of 0 or more.
        """
        known = [one.name for one in fields(cls)]
        read = {}
        for name, text in values.items():
            if name not in known:
                raise SettingError(f"'{name}': expected one of {', '.join(known)}")
            try:
                number = float(text)
            except ValueError:
                number = -1.0
            if not 0 <= number < float("inf"):
                raise SettingError(f"{name}: expected a number of 0 or more, got '{text}'")
            read[name] = number
        return cls(**read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One credential with what the rest of the inventory says about it."""

    credential: Credential
    owner: Owner
    copies: tuple[str, ...]
    of_its_agent: int
    now: float
    settings: Settings

    @property
    def age(self) -> float | None:
        """Days since the value was made or last replaced; None when nobody recorded that."""
        moment = self.credential.rotated or self.credential.created
        return None if moment is None else (self.now - moment) / DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `broken` returns the reason, or None where the credential keeps it.

    `needs` are the facts without which it cannot say anything.
    """

    id: str
    summary: str
    way_out: str
    kinds: frozenset[Kind]
    broken: Callable[[Case], str | None]
    needs: frozenset[Fact] = frozenset()


def _too_old(case: Case) -> str | None:
    age, most = case.age, case.settings.max_age_days
    if age is None or age <= most:
        return None
    return f"{age:.0f} days old, at most {most:g} are allowed"


def _never_rotated(case: Case) -> str | None:
    created, most = case.credential.created, case.settings.rotated_within_days
    if case.credential.rotated is not None or created is None:
        return None
    age = (case.now - created) / DAY
    return f"never rotated in {age:.0f} days" if age > most else None


def _unused(case: Case) -> str | None:
    most = case.settings.used_within_days
    last, created = case.credential.last_used, case.credential.created
    if last is not None:
        idle = (case.now - last) / DAY
        return f"last used {idle:.0f} days ago" if idle > most else None
    if created is None or (case.now - created) / DAY <= most:
        return None
    return f"never used in {(case.now - created) / DAY:.0f} days"


def _no_owner(case: Case) -> str | None:
    return "nobody is named as its owner" if case.owner.standing is Standing.NONE else None


def _owner_unknown(case: Case) -> str | None:
    if case.owner.standing is not Standing.UNKNOWN:
        return None
    return f"owner {case.owner.name}: nobody of that name is known"


def _owner_left(case: Case) -> str | None:
    return f"owner {case.owner.name}: left" if case.owner.standing is Standing.LEFT else None


def _no_expiry(case: Case) -> str | None:
    return "it never ends" if case.credential.expires is None else None


def _copied(case: Case) -> str | None:
    # what only names a credential (a key's id) may be kept in one place: there it is fetched from
    allowed = 0 if case.credential.kind in HOLDERS else 1
    if len(case.copies) <= allowed:
        return None
    return f"the same value is in {', '.join(case.copies)}"


def _too_many(case: Case) -> str | None:
    most = case.settings.credentials_per_agent
    if case.of_its_agent <= most:
        return None
    return f"agent {case.credential.agent} has {case.of_its_agent}, at most {most:g} are allowed"


def _long_lived(case: Case) -> str | None:
    return f"a long-lived {case.credential.kind}" if case.credential.active else None


def _expired(case: Case) -> str | None:
    expires = case.credential.expires
    if expires is None or case.now < expires or not case.credential.active:
        return None
    return f"expired {(case.now - expires) / DAY:.0f} days ago and still accepted"


def _long_login(case: Case) -> str | None:
    given, most = case.credential.gives_for, case.settings.login_hours
    if given is None:
        return "what it gives out has no end, or can be renewed for ever"
    if given <= most * _HOUR:
        return None
    return f"what it gives out is good for {given / _HOUR:.0f} hours, at most {most:g} are allowed"


_ALL: Final = frozenset(Kind)
_GIVEN_OUT: Final = frozenset({Kind.VAULT_TOKEN, Kind.VAULT_LEASE})
"""What a vault makes for one use of a login: it is renewed or made anew, never rotated."""
_REPLACED: Final = _ALL - _GIVEN_OUT - {Kind.CERTIFICATE, Kind.VAULT_ROLE}
"""What has a value that somebody puts another in the place of."""
RULES: Final[tuple[Rule, ...]] = (
    Rule(
        id="too-old",
        summary="A value is replaced within the days allowed.",
        way_out="rotate it: `iamrange rotate`, or delete it",
        kinds=_REPLACED | _GIVEN_OUT,
        needs=frozenset({Fact.ROTATED}),
        broken=_too_old,
    ),
    Rule(
        id="never-rotated",
        summary="A value that lives longer than the days allowed was rotated at least once.",
        way_out="rotate it once, by hand if need be, so that it is known to work",
        kinds=_REPLACED,
        needs=frozenset({Fact.ROTATED}),
        broken=_never_rotated,
    ),
    Rule(
        id="unused",
        summary="What nobody uses for the days allowed is taken away.",
        way_out="disable it, wait for somebody to miss it, delete it",
        kinds=_REPLACED | {Kind.VAULT_TOKEN},
        needs=frozenset({Fact.LAST_USED}),
        broken=_unused,
    ),
    Rule(
        id="no-owner",
        summary="Each credential says who answers for it.",
        way_out="tag it with `owner` or `agent`",
        kinds=_ALL,
        needs=frozenset({Fact.OWNER}),
        broken=_no_owner,
    ),
    Rule(
        id="owner-unknown",
        summary="An owner is somebody whom the directory knows.",
        way_out="find out who made it, and tag it with that one or delete it",
        kinds=_ALL,
        needs=frozenset({Fact.OWNER}),
        broken=_owner_unknown,
    ),
    Rule(
        id="owner-left",
        summary="Who left has no credentials any more.",
        way_out="disable it now; give it to somebody, rotated, or delete it",
        kinds=_ALL,
        needs=frozenset({Fact.OWNER}),
        broken=_owner_left,
    ),
    Rule(
        id="no-expiry",
        summary="A key that leaves the house has an end.",
        way_out="make it anew with an end, or use federation in its place",
        kinds=frozenset({Kind.GOOGLE_KEY, Kind.DIRECTORY_KEY, Kind.CLIENT_SECRET}) | _GIVEN_OUT,
        needs=frozenset({Fact.EXPIRES}),
        broken=_no_expiry,
    ),
    Rule(
        id="same-value-twice",
        summary="A value is in one place.",
        way_out="rotate it, keep it in one place, and have the others read it there",
        kinds=_REPLACED - {Kind.DIRECTORY_KEY, Kind.CLIENT_SECRET} | {Kind.CERTIFICATE},
        needs=frozenset({Fact.VALUE}),
        broken=_copied,
    ),
    Rule(
        id="too-many-of-one-agent",
        summary="An agent has no more credentials than allowed.",
        way_out="take away what it does not use",
        kinds=_ALL,
        broken=_too_many,
    ),
    Rule(
        id="long-lived-key",
        summary="No key is good until somebody thinks of it.",
        way_out="let the agent federate: sessions of 15 minutes need no key",
        kinds=LONG_LIVED,
        broken=_long_lived,
    ),
    Rule(
        id="login-too-long",
        summary="What a login gives out ends within the hours allowed.",
        way_out="give the role a `token_max_ttl`, and no `token_period`",
        kinds=frozenset({Kind.VAULT_ROLE}),
        needs=frozenset({Fact.EXPIRES}),
        broken=_long_login,
    ),
    Rule(
        id="expired-but-accepted",
        summary="What should have ended is refused.",
        way_out="disable it: its end is written down, and nothing enforces it",
        kinds=_ALL,
        needs=frozenset({Fact.EXPIRES}),
        broken=_expired,
    ),
)
