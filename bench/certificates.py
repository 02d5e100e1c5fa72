"""What a certificate costs: signed by the local authority, and by a world's vault; and its check.

    python -m bench.certificates [SECONDS]

One requester, one connection; requests are made beforehand, so that no key is made in the measured
time. `vault` goes through the world, which records each decision from the vault's audit entry, as
agents do; no TLS anywhere. `check` is a client's chain against a list of so many withdrawn serial
numbers, which is read once and kept; `first check` reads it. Prints one JSON line.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from typing import TYPE_CHECKING

import hvac
import requests

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.client_chain import VerifiedClient, verify_client
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import Svid
from iamrange.identity.certificates.spiffe import TRUST_DOMAIN
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.identity.certificates.vault_authority import VaultAuthority
from iamrange.range.config import WorldConfig
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.identity.certificates.port import CertificateAuthorityPort, TrustBundle

ROUNDS = 3
MOUNT, NAME, ROOT = "certificates", "one", "root/generate/internal"
AGENT = f"spiffe://{TRUST_DOMAIN}/agent/{NAME}"
LISTED = (0, 10_000)


def _prepare(administrator: hvac.Client) -> None:
    """Make the vault an authority for one agent, as the stack does."""
    calls = {
        f"sys/mounts/{MOUNT}": {"type": "pki", "config": {"max_lease_ttl": "720h"}},
        f"{MOUNT}/config/crl": {
            "expiry": "600s",
            "auto_rebuild": True,
            "auto_rebuild_grace_period": "300s",
        },
        f"{MOUNT}/{ROOT}": {
            "common_name": "agents",
            "issuer_name": "agents",
            "uri_sans": f"spiffe://{TRUST_DOMAIN}",
            "exclude_cn_from_sans": True,
            "key_type": "ec",
            "key_bits": 256,
            "ttl": "720h",
        },
        f"{MOUNT}/roles/{NAME}": {
            "allowed_uri_sans": [AGENT],
            "require_cn": False,
            "use_csr_sans": False,
            "use_csr_common_name": False,
            "key_type": "ec",
            "key_bits": 256,
            "key_usage": ["DigitalSignature"],
            "basic_constraints_valid_for_non_ca": True,
            "max_ttl": "3600s",
        },
    }
    for path, body in calls.items():
        administrator.adapter.post(f"/v1/{path}", json=body)


def _signing(authority: CertificateAuthorityPort, requests_: list[bytes]) -> Callable[[], Svid]:
    count = 0

    def sign() -> Svid:
        nonlocal count
        count += 1
        granted = authority.issue_for_request(requests_[count % len(requests_)], spiffe_id=AGENT)
        if not isinstance(granted, Svid):
            raise SystemExit(f"refused: {granted}")
        return granted

    return sign


def _mean(act: Callable[[], object], seconds: float) -> tuple[int, float]:
    """Return how often something was done in how many seconds."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        act()
        count += 1
    return count, spent


def _checking(
    chain: list[bytes], bundle: TrustBundle, *, asks: bool = True
) -> Callable[[], object]:
    return lambda: verify_client(chain, bundle, time.time(), unsafe_ignores_withdrawal=not asks)


def _checks(seconds: float) -> dict[str, float]:
    """Return milliseconds of a check, by how many serial numbers are listed."""
    found = {}
    for listed in LISTED:
        authority = LocalAuthority.create("bench", clock=SystemClock())
        request = new_key_and_request(AGENT).request_pem.encode()
        other = f"spiffe://{TRUST_DOMAIN}/agent/other"
        for _ in range(listed):
            authority.issue_for_request(
                new_key_and_request(other).request_pem.encode(), spiffe_id=other
            )
        authority.withdraw_certificates(other)
        svid = authority.issue_for_request(request, spiffe_id=AGENT)
        if not isinstance(svid, Svid):
            raise SystemExit("refused")
        chain = [ssl.PEM_cert_to_DER_cert(svid.certificate_pem)]
        began = time.perf_counter()
        bundle = authority.trust_bundle()
        found[f"list of {listed} made"] = 1000 * (time.perf_counter() - began)
        began = time.perf_counter()
        if not isinstance(verify_client(chain, bundle, time.time()), VerifiedClient):
            raise SystemExit("not verified")
        found[f"first check of {listed}"] = 1000 * (time.perf_counter() - began)
        count, spent = _mean(_checking(chain, bundle), seconds)
        found[f"check of {listed}"] = 1000 * spent / count
        count, spent = _mean(_checking(chain, bundle, asks=False), seconds)
        found[f"check that asks no list of {listed}"] = 1000 * spent / count
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure all rows in turn, and print them."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    requests_ = [new_key_and_request(AGENT).request_pem.encode() for _ in range(50)]
    with World.start(WorldConfig(run_id="bench")) as world:
        session = requests.Session()
        session.trust_env = False
        client = hvac.Client(url=world.vault_endpoint, token=world.vault_token, session=session)
        _prepare(client)
        vault = VaultAuthority(client, mount=MOUNT, clock=SystemClock())
        local = LocalAuthority.create("bench", clock=SystemClock())
        rows = {"local": _signing(local, requests_), "vault": _signing(vault, requests_)}
        for sign in rows.values():
            sign()
        done = dict.fromkeys(rows, (0, 0.0))
        for _ in range(ROUNDS):
            for name, sign in rows.items():
                count, spent = _mean(sign, seconds / ROUNDS)
                done[name] = (done[name][0] + count, done[name][1] + spent)
        began = time.perf_counter()
        withdrawn = len(vault.withdraw_certificates(AGENT))
        withdrawing = time.perf_counter() - began
    milliseconds = {name: round(1000 * spent / count, 3) for name, (count, spent) in done.items()}
    print(
        json.dumps(
            {
                "certificate_ms": milliseconds,
                "vault_withdraws": {"certificates": withdrawn, "seconds": round(withdrawing, 3)},
                "check_ms": _checks(0.3),
            }
        )
    )


if __name__ == "__main__":
    main()
