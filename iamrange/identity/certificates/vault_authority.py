"""OpenBao's or HashiCorp Vault's PKI engine as a certificate authority.

- It signs requests (`sign`), and never makes a key for anybody (`issue`). Which names a role
  certifies is the vault's to say: one role for each agent, named by the last part of its id.
- The vault remembers what it has signed, whoever asked it: also what agents have had signed by
  their own logins is found here, and withdrawn.
- What it answers is looked at: a certificate for another key or name is none.
"""

from __future__ import annotations

import datetime as dt
import math
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hvac
import hvac.exceptions
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from iamrange.identity.certificates.port import (
    SVID_LIFE,
    AuthorityError,
    IssueRefusal,
    Svid,
    TrustBundle,
)
from iamrange.identity.certificates.signing_request import read_request
from iamrange.identity.certificates.spiffe import TRUST_DOMAIN, parse_spiffe_id
from iamrange.identity.certificates.svid import uri_names

if TYPE_CHECKING:
    from iamrange.core.clock import Clock

_BUNDLE_SECONDS = 1.0
"""For how long the vault is not asked again: what somebody else withdraws counts after that."""

_HALF = 2
_REVOKED_ALREADY = "already revoked"
_NOT_CERTIFIED = ("unknown role", "not valid for this role")
"""What the vault says where no role is for the id: the request is not to blame."""


@dataclass(frozen=True, slots=True)
class _Signed:
    spiffe_id: str
    expires: float
    withdrawn: bool


class VaultAuthority:
    """One PKI mount. Threads may share it."""

    def __init__(
        self,
        client: hvac.Client,
        *,
        mount: str,
        clock: Clock,
        trust_domain: str = TRUST_DOMAIN,
        longest: float = SVID_LIFE,
    ) -> None:
        """Take a client whose token may sign, revoke, and read certificates and issuers.

        `longest` is the longest life that may be asked for, in seconds; the roles may allow less.
        """
        self.trust_domain = trust_domain
        self._client = client
        self._mount = mount
        self._clock = clock
        self._longest = longest
        self._signed: dict[str, _Signed | None] = {}
        """By serial number in the vault's form; None: nobody's, an authority's for instance."""
        self._bundle: tuple[float, TrustBundle] | None = None
        self._lock = threading.RLock()

    def issue_for_request(
        self, request: bytes, *, spiffe_id: str, lifetime: float = SVID_LIFE
    ) -> Svid | IssueRefusal:
        """Have the key of a PEM or DER PKCS #10 request certified.

        Raises:
            ValueError: the id or the lifetime is none that this authority certifies.
            AuthorityError: the vault cannot be asked, or answers what was not asked for.
        """
        name = parse_spiffe_id(spiffe_id)
        if name is None or not name.path or name.trust_domain != self.trust_domain:
            raise ValueError(f"no SPIFFE id of {self.trust_domain}: {spiffe_id[:200]!r}")
        if not (1 <= lifetime <= self._longest):
            raise ValueError(f"lifetime: expected 1 to {self._longest:g} seconds, got {lifetime}")
        asked = read_request(request, spiffe_id=spiffe_id)
        if isinstance(asked, IssueRefusal):
            return asked
        body = {
            "csr": asked.public_bytes(Encoding.PEM).decode(),
            "uri_sans": spiffe_id,
            "ttl": f"{math.floor(lifetime)}s",
        }
        role = name.path.rpartition("/")[2]
        try:
            answer = self._asked("POST", f"sign/{role}", body)["data"]
        except hvac.exceptions.InvalidRequest as error:
            if any(words in str(error) for words in _NOT_CERTIFIED):
                raise ValueError(f"no role of the vault certifies {spiffe_id[:200]!r}") from error
            # the vault's words name the role's rule, and nothing that is secret
            return IssueRefusal("refused-by-the-role", str(error)[:200])
        return self._svid(answer, asked, spiffe_id)

    def _svid(
        self, answer: dict[str, Any], asked: x509.CertificateSigningRequest, spiffe_id: str
    ) -> Svid:
        pem = str(answer["certificate"]).strip() + "\n"
        certificate = _read(pem)
        if certificate.public_key() != asked.public_key() or uri_names(certificate) != (spiffe_id,):
            raise AuthorityError(f"vault: it certified another key or name than {spiffe_id!r}")
        middle = [text.strip() + "\n" for text in answer.get("ca_chain") or ()]
        chain = [text for text in middle if not _is_root(_read(text))]
        ends = certificate.not_valid_after_utc.timestamp()
        return Svid(
            spiffe_id=spiffe_id,
            certificate_pem=pem,
            chain_pem="".join([pem, *chain]),
            expires=ends,
        )

    def withdraw_certificates(self, spiffe_id: str) -> tuple[int, ...]:
        """Put all that the id has and that still live on the list; return their serial numbers.

        Raises:
            AuthorityError: the vault cannot be asked.
        """
        with self._lock:
            self._learn()
            now = self._clock.now()
            found = [
                serial
                for serial, one in self._signed.items()
                if one is not None
                and one.spiffe_id == spiffe_id
                and one.expires > now
                and not one.withdrawn
            ]
            withdrawn = [serial for serial in found if self._revoke(serial)]
            if found:
                # a mount that makes its lists by itself does not make one at each withdrawal
                self._tried("GET", "crl/rotate")
            self._bundle = None
        return tuple(int(serial.replace(":", ""), 16) for serial in withdrawn)

    def _revoke(self, serial: str) -> bool:
        """Withdraw one certificate; tell whether it was this call that did."""
        known = self._signed.pop(serial)
        answer = self._tried("POST", "revoke", {"serial_number": serial})
        if known is not None:
            self._signed[serial] = _Signed(known.spiffe_id, known.expires, withdrawn=True)
        said = " ".join(answer.get("warnings") or ())
        return _REVOKED_ALREADY not in said

    def _learn(self) -> None:
        """Look at what the vault has signed since the last time, and forget what has gone."""
        listed = self._tried("LIST", "certs").get("data", {}).get("keys", [])
        for serial in self._signed.keys() - set(listed):
            del self._signed[serial]
        for serial in listed:
            if serial not in self._signed:
                self._signed[serial] = self._look_at(serial)

    def _look_at(self, serial: str) -> _Signed | None:
        data = self._tried("GET", f"cert/{serial}")["data"]
        certificate = _read(data["certificate"])
        uris = uri_names(certificate)
        name = parse_spiffe_id(uris[0]) if len(uris) == 1 else None
        if name is None or not name.path:
            return None
        ends = certificate.not_valid_after_utc.timestamp()
        return _Signed(str(name), ends, withdrawn=bool(data.get("revocation_time")))

    def trust_bundle(self) -> TrustBundle:
        """Return the mount's issuers, and a list of each that answers for some time yet.

        Raises:
            AuthorityError: the vault cannot be asked.
        """
        with self._lock:
            now = self._clock.now()
            if self._bundle is None or not 0 <= now - self._bundle[0] < _BUNDLE_SECONDS:
                self._bundle = (now, self._read_bundle(now))
            return self._bundle[1]

    def _read_bundle(self, now: float) -> TrustBundle:
        issuers = self._tried("LIST", "issuers").get("data", {}).get("keys", [])
        lists = [self._list(issuer) for issuer in issuers]
        if any(_is_half_over(der, now) for der in lists):
            self._tried("GET", "crl/rotate")
            lists = [self._list(issuer) for issuer in issuers]
        authorities = [
            _read(self._tried("GET", f"issuer/{issuer}")["data"]["certificate"]).public_bytes(
                Encoding.DER
            )
            for issuer in issuers
        ]
        return TrustBundle(self.trust_domain, tuple(authorities), tuple(lists))

    def _list(self, issuer: str) -> bytes:
        pem = str(self._tried("GET", f"issuer/{issuer}/crl")["data"]["crl"])
        try:
            return x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER)
        except ValueError as error:
            raise AuthorityError("vault: its revocation list does not parse") from error

    def _tried(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self._asked(method, path, body)
        except hvac.exceptions.InvalidRequest as error:
            raise AuthorityError(f"vault, {self._mount}/{path}: refused") from error

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the vault; what a caller may be to blame for (a status of 400) is left as it is."""
        adapter = self._client.adapter
        url = f"/v1/{self._mount}/{path}"
        try:
            if method == "LIST":
                # not the method of that name, which not every server before a vault lets through
                answer = adapter.get(url, params={"list": "true"})
            elif method == "POST":
                answer = adapter.post(url, json=body)
            else:
                answer = adapter.get(url)
        except hvac.exceptions.InvalidRequest:
            raise
        except hvac.exceptions.InvalidPath as error:
            if method == "LIST":
                return {}
            raise AuthorityError(f"vault, {self._mount}/{path}: not there") from error
        except hvac.exceptions.Forbidden as error:
            raise AuthorityError(
                f"vault, {self._mount}/{path}: the authority's token may not, or has ended"
            ) from error
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise AuthorityError(f"vault, {self._mount}/{path}: {type(error).__name__}") from error
        return answer if isinstance(answer, dict) else {}


def _read(pem: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(pem.strip()))
    except ValueError as error:
        raise AuthorityError("vault: what it calls a certificate does not parse") from error


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _is_half_over(der: bytes, now: float) -> bool:
    read = x509.load_der_x509_crl(der)
    begins, ends = read.last_update_utc, read.next_update_utc or dt.datetime.now(dt.UTC)
    middle = (begins.timestamp() + ends.timestamp()) / _HALF
    return now >= middle
