"""The local certificate authority: SVIDs of one trust domain, from a key held in memory.

- A requester chooses its key and nothing else: names, usages and times are the authority's.
- A rotation leaves the old authority in the bundle until the last SVID that it signed has ended; it
  keeps its key, for its revocation list alone.
- Each SVID is remembered as long as it lives: a withdrawal is by whose they are.
- State is handed to the caller as JSON, and never printed.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from iamrange.identity.certificates.algorithms import is_strong_key
from iamrange.identity.certificates.authority_certificates import (
    AUTHORITY_LIFE,
    BACKDATED,
    AuthorityKey,
    authority_pem,
    moment,
    new_authority,
    pem_of,
    read_authority,
    sign_svid,
)
from iamrange.identity.certificates.port import SVID_LIFE, IssueRefusal, Svid, TrustBundle
from iamrange.identity.certificates.revocation_list import LIST_LIFE, sign_list
from iamrange.identity.certificates.signing_request import read_request
from iamrange.identity.certificates.spiffe import (
    TRUST_DOMAIN,
    SpiffeId,
    is_trust_domain,
    parse_spiffe_id,
)
from iamrange.identity.certificates.svid import uri_names

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from iamrange.core.clock import Clock

MAX_SVID_LIFE = 24 * 3600
"""Seconds; also how long a rotated authority stays in the bundle."""

__all__ = ["AUTHORITY_LIFE", "BACKDATED", "MAX_SVID_LIFE", "LocalAuthority"]


@dataclass(frozen=True, slots=True)
class _Issued:
    """One SVID: who has it, until when, which authority's it is, and when it was withdrawn."""

    spiffe_id: str
    expires: float
    authority: str
    withdrawn: float | None = None


@dataclass(frozen=True, slots=True)
class _SignedList:
    der: bytes
    made: float


@dataclass(slots=True)
class LocalAuthority:
    """An authority that signs with a key of its own."""

    trust_domain: str
    clock: Clock
    _active: AuthorityKey = field(repr=False)
    _retired: list[AuthorityKey] = field(default_factory=list, repr=False)
    """Oldest first."""
    _issued: dict[int, _Issued] = field(default_factory=dict, repr=False)
    """By serial number."""
    _lists: dict[str, _SignedList] = field(default_factory=dict, repr=False)
    _list_number: int = 0

    @classmethod
    def create(cls, name: str, *, clock: Clock, trust_domain: str = TRUST_DOMAIN) -> LocalAuthority:
        """Make an authority with a new key.

        Raises:
            ValueError: the trust domain is none.
        """
        if not is_trust_domain(trust_domain):
            raise ValueError(f"no trust domain: {trust_domain[:200]!r}")
        return cls(trust_domain, clock, new_authority(name, trust_domain, clock.now()))

    @classmethod
    def from_json(cls, state: str, *, clock: Clock) -> LocalAuthority:
        """Take up the state that `to_json` returned.

        Raises:
            ValueError: it is no such state.
        """
        try:
            value = json.loads(state)
            active, *retired = (read_authority(pem) for pem in value["authorities"])
            issued = {int(serial): _Issued(**one) for serial, one in value["issued"].items()}
            number = int(value["list_number"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"authority state: {type(error).__name__}") from error
        uris = uri_names(active.certificate)
        name = parse_spiffe_id(uris[0]) if len(uris) == 1 else None
        if name is None or name.path:
            raise ValueError("authority state: the certificate names no trust domain")
        return cls(name.trust_domain, clock, active, retired, issued, {}, number)

    def to_json(self) -> str:
        """Return keys, certificates and what was issued; whoever holds it is the authority."""
        return json.dumps(
            {
                "authorities": [authority_pem(one) for one in self._authorities],
                "issued": {str(serial): asdict(one) for serial, one in self._issued.items()},
                "list_number": self._list_number,
            }
        )

    @property
    def _authorities(self) -> tuple[AuthorityKey, ...]:
        return self._active, *self._retired

    def issue_svid(
        self,
        spiffe_id: str,
        public_key: CertificatePublicKeyTypes,
        *,
        lifetime: float = SVID_LIFE,
    ) -> Svid:
        """Certify the key as the id's.

        Raises:
            ValueError: the id, the key or the lifetime is none that this authority certifies.
        """
        name = self._own_id(spiffe_id)
        if name is None:
            raise ValueError(f"no SPIFFE id of {self.trust_domain}: {spiffe_id[:200]!r}")
        if not is_strong_key(public_key):
            raise ValueError("the public key is of a kind or size that is not certified")
        now = self.clock.now()
        if not (0 < lifetime <= MAX_SVID_LIFE):
            raise ValueError(f"lifetime: expected 1 to {MAX_SVID_LIFE} seconds, got {lifetime}")
        authority = self._active.certificate
        # Whole seconds are all that a certificate can say; never longer than was asked.
        ends = min(
            moment(math.floor(now + lifetime)),
            authority.not_valid_after_utc.replace(tzinfo=dt.UTC),
        )
        if ends.timestamp() <= now:
            raise ValueError("the authority itself has expired, or the lifetime is below a second")
        certificate = sign_svid(self._active, name, public_key, now, ends)
        self._issued[certificate.serial_number] = _Issued(
            str(name), ends.timestamp(), self._active.x5t_s256
        )
        leaf = pem_of(certificate)
        return Svid(
            spiffe_id=str(name), certificate_pem=leaf, chain_pem=leaf, expires=ends.timestamp()
        )

    def issue_for_request(
        self, request: bytes, *, spiffe_id: str, lifetime: float = SVID_LIFE
    ) -> Svid | IssueRefusal:
        """Certify the key of a PEM or DER PKCS #10 request, which proves that it is held.

        `spiffe_id` is the requester as authenticated by the caller. A request may name that id or
        none; whatever else it asks for is not looked at.

        Raises:
            ValueError: the id or the lifetime is none that this authority certifies.
        """
        asked = read_request(request, spiffe_id=spiffe_id)
        if isinstance(asked, IssueRefusal):
            return asked
        return self.issue_svid(spiffe_id, asked.public_key(), lifetime=lifetime)

    def withdraw_certificates(self, spiffe_id: str) -> tuple[int, ...]:
        """Put all that the id has and that still live on the list; return their serial numbers."""
        self._drop_ended()
        now = self.clock.now()
        found = {
            serial: one
            for serial, one in self._issued.items()
            if one.spiffe_id == spiffe_id and one.withdrawn is None
        }
        for serial, one in found.items():
            self._issued[serial] = replace(one, withdrawn=now)
            self._lists.pop(one.authority, None)  # another is made when it is asked for
        return tuple(found)

    def trust_bundle(self) -> TrustBundle:
        """Return the active authority and those whose SVIDs may still live, with their lists."""
        self._drop_ended()
        return TrustBundle(
            self.trust_domain,
            tuple(one.der for one in self._authorities),
            tuple(self._list(one) for one in self._authorities),
        )

    def _list(self, authority: AuthorityKey) -> bytes:
        """Return the authority's list of the moment: half of its life lies before it."""
        now, name = self.clock.now(), authority.x5t_s256
        known = self._lists.get(name)
        if known is not None and 0 <= now - known.made < LIST_LIFE / 2:
            return known.der
        withdrawn = {
            serial: one.withdrawn
            for serial, one in self._issued.items()
            if one.authority == name and one.withdrawn is not None
        }
        self._list_number = max(self._list_number + 1, int(now))
        der = sign_list(
            authority.certificate, authority.key, withdrawn, number=self._list_number, now=now
        )
        self._lists[name] = _SignedList(der, now)
        return der

    def rotate(self, name: str) -> None:
        """Sign with a new key from now on; what the old one signed stays valid until it ends."""
        self._drop_ended()
        self._retired.append(self._active)
        self._active = new_authority(name, self.trust_domain, self.clock.now())

    def withdraw(self, x5t_s256: str) -> bool:
        """Take a rotated authority out of the bundle at once; tell whether it was there.

        Raises:
            ValueError: it is the active one: rotate first.
        """
        if self._active.x5t_s256 == x5t_s256:
            raise ValueError("the active authority cannot be withdrawn: rotate first")
        kept = [one for one in self._retired if one.x5t_s256 != x5t_s256]
        found = len(kept) < len(self._retired)
        self._retired = kept
        return found

    def _own_id(self, spiffe_id: str) -> SpiffeId | None:
        name = parse_spiffe_id(spiffe_id)
        if name is None or not name.path or name.trust_domain != self.trust_domain:
            return None
        return name

    def _drop_ended(self) -> None:
        """Forget what no longer counts.

        An authority signed its last SVID when its successor was made. A withdrawn SVID stays on
        the list until one is made after its end (RFC 5280 section 3.3).
        """
        now = self.clock.now()
        successors = [*self._retired, self._active][1:]
        self._retired = [
            one
            for one, successor in zip(self._retired, successors, strict=True)
            if successor.certificate.not_valid_before_utc.timestamp() + BACKDATED + MAX_SVID_LIFE
            > now
        ]
        for serial in [s for s, one in self._issued.items() if one.expires + LIST_LIFE <= now]:
            del self._issued[serial]
