"""Who looks at the list of what waits: people with a role, who sign for each look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.entries import Entries
from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.approvals.reasons import Reason
from iamrange.access.approvals.settings import ADMINISTRATOR, MANAGER
from iamrange.access.approvals.signing import VIEW_PROFILE, read, signed_by
from iamrange.identity.directory.model import Agent, AgentState, Kind
from iamrange.jose.gate import Refusal, UnverifiedToken
from iamrange.jose.verify import check_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.access.approvals.ports import ApprovalStore, People
    from iamrange.core.clock import Clock

_ROLES: Final = frozenset({MANAGER, ADMINISTRATOR})
_SCHEME: Final = "person "


class Views:
    """Verifies a signature on one look; each counts once."""

    def __init__(self, store: ApprovalStore, people: People, *, clock: Clock, origin: str) -> None:
        """Take the store of used signatures, the directory, the clock and our own origin."""
        self._store = store
        self._entries = Entries(people)
        self._clock = clock
        self._origin = origin

    def viewer(self, authorization: Sequence[str], method: str, path: str) -> str | ApprovalRefusal:
        """Return the SPIFFE id of the person who looks, or why nobody may.

        Raises:
            StoreDownError: the store or the directory cannot answer.
        """
        if len(authorization) != 1 or not authorization[0].lower().startswith(_SCHEME):
            return ApprovalRefusal(Reason.SIGNATURE, "expected Authorization: Person JWS")
        token = read(authorization[0][len(_SCHEME) :].strip(), VIEW_PROFILE)
        if isinstance(token, Refusal):
            return ApprovalRefusal(Reason.SIGNATURE, token.code)
        claims, now = token.unverified_claims, self._clock.now()
        if (claims["htm"], claims["htu"]) != (method, f"{self._origin}{path}"):
            return ApprovalRefusal(Reason.ANOTHER_REQUEST, "signed for another look")
        person = self._entries.entry(claims["viewer"])
        refusal = _person_refusal(person, now) or _signature_refusal(person, token, now)
        if refusal is not None or person is None:
            return refusal or ApprovalRefusal(Reason.APPROVER_UNKNOWN)
        if not self._store.spend(person.id, claims["jti"], expires=claims["exp"]):
            return ApprovalRefusal(Reason.REPLAYED)
        return person.id


def _person_refusal(person: Agent | None, now: float) -> ApprovalRefusal | None:
    if person is None:
        return ApprovalRefusal(Reason.APPROVER_UNKNOWN)
    if person.kind is not Kind.PERSON:
        return ApprovalRefusal(Reason.NOT_A_PERSON)
    if person.state is not AgentState.ACTIVE:
        return ApprovalRefusal(Reason.NOT_ACTIVE)
    if person.expired(now):
        return ApprovalRefusal(Reason.APPROVER_EXPIRED)
    return None if person.roles & _ROLES else ApprovalRefusal(Reason.NOT_MANAGER)


def _signature_refusal(
    person: Agent | None, token: UnverifiedToken, now: float
) -> ApprovalRefusal | None:
    current = (key for key in (person.keys if person else ()) if key.not_after is None)
    found = signed_by(token, current, VIEW_PROFILE)
    if found is None:
        return ApprovalRefusal(Reason.KEY)
    refusal = found if isinstance(found, Refusal) else check_time(found, now, VIEW_PROFILE)
    return None if refusal is None else ApprovalRefusal(Reason.SIGNATURE, refusal.code)
