"""SVIDs in the eyes of OpenSSL, and OpenSSL's requests and certificates in ours."""

from __future__ import annotations

import ssl
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.client_chain import (
    ChainRefusal,
    VerifiedClient,
    verify_client,
)
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import IssueRefusal, Svid, TrustBundle
from iamrange.identity.certificates.svid import new_key_and_request

if TYPE_CHECKING:
    from pathlib import Path

AGENT = "spiffe://iamrange.example/agent/data-analyst"


def openssl(folder: Path, *arguments: str, fails: bool = False) -> str:
    ran = subprocess.run(  # noqa: S603 - the client under test
        ["openssl", *arguments],  # noqa: S607 - openssl from PATH, as everywhere
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode != 0) == fails, ran.stderr
    return ran.stderr if fails else ran.stdout


def issue(folder: Path) -> LocalAuthority:
    """Write an SVID and its bundle as files."""
    authority = LocalAuthority.create("test", clock=SystemClock())
    made = new_key_and_request(AGENT)
    issued = authority.issue_for_request(made.request_pem.encode(), spiffe_id=AGENT)
    assert isinstance(issued, Svid)
    (root,) = authority.trust_bundle().authorities
    (folder / "key.pem").write_text(made.private_key_pem)
    (folder / "svid.pem").write_text(issued.chain_pem)
    (folder / "root.pem").write_text(ssl.DER_cert_to_PEM_cert(root))
    return authority


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_verifies_an_svid_strictly(tmp_path: Path, purpose: str) -> None:
    issue(tmp_path)
    strict = ("-x509_strict", "-purpose", purpose, "-CAfile", "root.pem")
    assert "OK" in openssl(tmp_path, "verify", *strict, "svid.pem")
    text = openssl(tmp_path, "x509", "-in", "svid.pem", "-noout", "-text")
    assert f"URI:{AGENT}" in text


REQUESTS = {
    "for-its-own-name": (("-addext", f"subjectAltName=URI:{AGENT}"), None),
    "for-no-name": ((), None),
    "for-another-name": (("-addext", "subjectAltName=URI:spiffe://a/b"), "other-name"),
    "for-a-host-too": (("-addext", f"subjectAltName=URI:{AGENT},DNS:a.example"), "other-name"),
    "with-sha1": (("-sha1",), "no-proof-of-possession"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_of_openssl_is_granted_or_refused_by_value(tmp_path: Path, case: str) -> None:
    arguments, reason = REQUESTS[case]
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem")
    openssl(tmp_path, "req", "-new", *key, "-subj", "/CN=x", "-out", "r.pem", *arguments)
    authority = LocalAuthority.create("test", clock=SystemClock())
    answer = authority.issue_for_request((tmp_path / "r.pem").read_bytes(), spiffe_id=AGENT)
    assert (answer.reason if isinstance(answer, IssueRefusal) else None) == reason


EXTENSIONS = f"""
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = URI:{AGENT}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def chain_of_openssl(folder: Path, digest: str, *key: str) -> tuple[list[bytes], TrustBundle]:
    """Return a leaf signed by an authority that OpenSSL made, and a bundle of that authority."""
    (folder / "leaf.cnf").write_text(EXTENSIONS)
    root = ("-days", "2", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(folder, "req", "-x509", "-nodes", *key, *root, *usage)
    leaf = ("-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr")
    openssl(folder, "req", "-new", "-nodes", *key, *leaf)
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", "1", "-extfile", "leaf.cnf")
    openssl(folder, "x509", "-req", "-in", "leaf.csr", *signing, digest, "-out", "leaf.pem")
    ders = [
        ssl.PEM_cert_to_DER_cert((folder / name).read_text()) for name in ("leaf.pem", "ca.pem")
    ]
    return ders[:1], TrustBundle("iamrange.example", (ders[1],), (list_of_openssl(folder),))


def list_of_openssl(folder: Path, *withdrawn: str) -> bytes:
    """Return the list of the authority in the folder; `withdrawn` are files of certificates."""
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ndefault_md = sha256\n"
        "default_crl_days = 1\n"
    )
    (folder / "index.txt").touch()
    authority = ("-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem")
    for name in withdrawn:
        openssl(folder, "ca", *authority, "-revoke", name)
    openssl(folder, "ca", *authority, "-gencrl", "-out", "crl.pem")
    openssl(folder, "crl", "-in", "crl.pem", "-outform", "DER", "-out", "crl.der")
    return (folder / "crl.der").read_bytes()


EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")
CHAINS = {
    "ec-sha256": ("-sha256", EC, None),
    "rsa-sha256": ("-sha256", RSA, None),
    "rsa-sha384": ("-sha384", RSA, None),
    "ec-sha1": ("-sha1", EC, "weak-signature"),
    "rsa-sha1": ("-sha1", RSA, "weak-signature"),
    "rsa-md5": ("-md5", RSA, "weak-signature"),
    "rsa-1024": ("-sha256", ("-newkey", "rsa:1024"), "weak-key"),
    "rsa-8192-is-too-much-work": ("-sha256", ("-newkey", "rsa:4104"), "weak-key"),
    "ed25519": ("-sha512", ("-newkey", "ed25519"), "weak-key"),
}


@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_of_openssl_is_judged_by_its_algorithms(tmp_path: Path, case: str) -> None:
    digest, key, reason = CHAINS[case]
    if case == "ed25519":
        digest = "-copy_extensions=none"  # its signatures name no digest
    chain, bundle = chain_of_openssl(tmp_path, digest, *key)
    answer = verify_client(chain, bundle, time.time() + 2)
    if reason is None:
        assert isinstance(answer, VerifiedClient), answer
    else:
        assert isinstance(answer, ChainRefusal)
        assert answer.reason == reason


def test_a_certificate_on_a_list_of_openssls_is_withdrawn(tmp_path: Path) -> None:
    chain, bundle = chain_of_openssl(tmp_path, "-sha256", *EC)
    assert isinstance(verify_client(chain, bundle, time.time() + 2), VerifiedClient)
    now_on = replace(bundle, revocation_lists=(list_of_openssl(tmp_path, "leaf.pem"),))
    refused = verify_client(chain, now_on, time.time() + 2)
    assert refused == ChainRefusal("certificate-withdrawn")


def test_openssl_asks_our_list(tmp_path: Path) -> None:
    authority = issue(tmp_path)
    asking = ("-crl_check", "-x509_strict", "-CAfile", "root.pem", "-CRLfile", "crl.pem")
    (tmp_path / "crl.pem").write_text(authority.trust_bundle().lists_pem)
    assert "OK" in openssl(tmp_path, "verify", *asking, "svid.pem")
    authority.withdraw_certificates(AGENT)
    (tmp_path / "crl.pem").write_text(authority.trust_bundle().lists_pem)
    said = openssl(tmp_path, "verify", *asking, "svid.pem", fails=True)
    assert "certificate revoked" in said


def test_python_s_own_tls_takes_an_svid_on_both_ends(tmp_path: Path) -> None:
    """The bundle is enough for mutual TLS between services, host names aside."""
    issue(tmp_path)
    ends = []
    for purpose in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH):
        context = ssl.create_default_context(purpose, cafile=str(tmp_path / "root.pem"))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(tmp_path / "svid.pem", tmp_path / "key.pem")
        ends.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ends[0].wrap_bio(up, down, server_side=True)
    client = ends[1].wrap_bio(down, up)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for end in (client, server):
        shown = end.getpeercert()
        assert shown is not None
        assert shown["subjectAltName"] == (("URI", AGENT),)
