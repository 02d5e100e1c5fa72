"""The Vault types on a real OpenBao: all that is written is there, and drift shows."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pulumi
import pulumi_vault as vault
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from iamrange.engine.vault_types import jwt, mounts, pki, transit
from iamrange.jose import SigningKey
from iamrange.network.ca import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# clients and their answers are whatever the vault makes of them
Answer = Any
Live = Any


class Drift(NamedTuple):
    """One input of one resource: what was written, how it is read, how it is spoiled."""

    resource: str
    input: str
    written: Answer
    read: Callable[[Live], Answer]
    spoil: Callable[[Live], Answer]


class Issuers(BaseHTTPRequestHandler):
    """Two issuers' documents at `/one` and `/two`, as the vault fetches them when it is told."""

    key = SigningKey.generate("RS256").public_jwk()

    def do_GET(self) -> None:
        base = f"http://{self.headers['host']}/{self.path.split('/')[1]}"
        value = (
            {"issuer": base, "jwks_uri": f"{base}/keys", "authorization_endpoint": base}
            if self.path.endswith("openid-configuration")
            else {"keys": [self.key]}
        )
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def issuers() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def _pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, kind).decode().strip()


KEY, OTHER_KEY = _pem(), _pem()
CA, OTHER_CA = (CertificateAuthority.create(name).pem for name in ("one", "two"))
RULES = 'path "kv/data/one" { capabilities = ["read"] }'
OTHER_RULES = 'path "kv/data/*" { capabilities = ["read"] }'
ROLE = "auth/keys/role/worker"

WRITTEN_ROLE: dict[str, tuple[str, Answer, Answer]] = {
    "roleType": ("role_type", "jwt", "oidc"),
    "userClaim": ("user_claim", "sub", "name"),
    "boundAudiences": ("bound_audiences", ["https://vault.example.com"], ["anybody"]),
    "boundSubject": ("bound_subject", "spiffe://example.com/agent/one", "somebody"),
    "boundClaims": ("bound_claims", {"tenant": "ours"}, {"tenant": "theirs"}),
    "boundClaimsType": ("bound_claims_type", "string", "glob"),
    "clockSkewLeeway": ("clock_skew_leeway", 5, 600),
    "expirationLeeway": ("expiration_leeway", 5, 600),
    "notBeforeLeeway": ("not_before_leeway", 5, 600),
    "tokenTtl": ("token_ttl", 60, 6000),
    "tokenMaxTtl": ("token_max_ttl", 120, 12000),
    "tokenExplicitMaxTtl": ("token_explicit_max_ttl", 180, 18000),
    "tokenPeriod": ("token_period", 30, 3000),
    "tokenNumUses": ("token_num_uses", 3, 0),
    "tokenType": ("token_type", "service", "default"),
    "tokenPolicies": ("token_policies", ["worker"], ["root"]),
    "tokenNoDefaultPolicy": ("token_no_default_policy", True, False),
}
"""Input -> the vault's own name, what is written, what somebody makes of it by hand."""


CERTIFIES = "certificates/roles/worker"
WRITTEN_CERTIFICATE_ROLE: dict[str, tuple[str, Answer, Answer]] = {
    "allowAnyName": ("allow_any_name", False, True),
    "allowIpSans": ("allow_ip_sans", False, True),
    "allowLocalhost": ("allow_localhost", False, True),
    "allowedUriSans": ("allowed_uri_sans", ["spiffe://example.com/agent/one"], ["spiffe://*"]),
    "basicConstraintsValidForNonCa": ("basic_constraints_valid_for_non_ca", True, False),
    "clientFlag": ("client_flag", True, False),
    "enforceHostnames": ("enforce_hostnames", True, False),
    "keyBits": ("key_bits", 256, 384),
    "keyType": ("key_type", "ec", "any"),
    "keyUsages": ("key_usage", ["DigitalSignature"], ["CertSign"]),
    "maxTtl": ("max_ttl", 3600, 7200),
    "noStore": ("no_store", False, True),
    "notBeforeDuration": ("not_before_duration", 10, 600),
    "organizations": ("organization", ["ours"], ["theirs"]),
    "requireCn": ("require_cn", False, True),
    "serverFlag": ("server_flag", True, False),
    "ttl": ("ttl", 3600, 1800),
    "useCsrCommonName": ("use_csr_common_name", False, True),
    "useCsrSans": ("use_csr_sans", False, True),
}
WRITTEN_LISTS: dict[str, tuple[str, Answer, Answer]] = {
    "autoRebuild": ("auto_rebuild", True, False),
    "autoRebuildGracePeriod": ("auto_rebuild_grace_period", "5m", "9m"),
    "disable": ("disable", False, True),
    "expiry": ("expiry", "10m", "99h"),
}
WRITTEN_KEY: dict[str, tuple[str, Answer, Answer]] = {
    "allowPlaintextBackup": ("allow_plaintext_backup", False, True),
    "autoRotatePeriod": ("auto_rotate_period", 3600, 7200),
    "deletionAllowed": ("deletion_allowed", False, True),
    "exportable": ("exportable", False, True),
    "minDecryptionVersion": ("min_decryption_version", 1, 2),
    "minEncryptionVersion": ("min_encryption_version", 0, 2),
}


def certificates() -> None:
    """Declare an authority, a role of it, and a key that works in the vault."""
    mount = vault.Mount("certificates", path="certificates", type="pki")
    root = vault.pkisecret.SecretBackendRootCert(
        "root",
        backend=mount.path,
        type="internal",
        common_name="example",
        organization="ours",
        issuer_name="root",
        key_type="ec",
        key_bits=256,
        max_path_length=0,
        ttl="24h",
        uri_sans=["spiffe://example.com"],
        exclude_cn_from_sans=True,
    )
    vault.pkisecret.SecretBackendCrlConfig(
        "lists",
        backend=mount.path,
        expiry="10m",
        auto_rebuild=True,
        auto_rebuild_grace_period="5m",
    )
    vault.pkisecret.SecretBackendRole(
        "certifies",
        backend=root.backend,
        name="worker",
        key_type="ec",
        key_bits=256,
        key_usages=["DigitalSignature"],
        allowed_uri_sans=["spiffe://example.com/agent/one"],
        allow_ip_sans=False,
        allow_localhost=False,
        require_cn=False,
        use_csr_common_name=False,
        use_csr_sans=False,
        organizations=["ours"],
        basic_constraints_valid_for_non_ca=True,
        not_before_duration="10s",
        ttl="3600s",
        max_ttl="1h",
    )
    keys = vault.Mount("transit", path="transit", type="transit")
    vault.transit.SecretBackendKey(
        "key",
        backend=keys.path,
        name="one",
        auto_rotate_period=3600,
        opts=pulumi.ResourceOptions(deleted_with=keys),
    )


def program(issuers: str) -> Callable[[], None]:
    def declare() -> None:
        certificates()
        vault.Mount(
            "store",
            path="kv",
            type="kv",
            description="as written",
            options={"version": "2"},
            default_lease_ttl_seconds=60,
            max_lease_ttl_seconds=120,
        )
        vault.Mount("plain", path="plain", type="kv", options={"version": "1"})
        policy = vault.Policy("policy", name="worker", policy=RULES)
        keys = vault.jwt.AuthBackend(
            "keys",
            path="keys",
            description="as written",
            jwt_validation_pubkeys=[KEY],
            jwt_supported_algs=["RS256"],
            bound_issuer="https://idp.example.com",
            default_role="worker",
        )
        vault.jwt.AuthBackend(
            "discovered",
            path="discovered",
            oidc_discovery_url=f"{issuers}/one",
            oidc_discovery_ca_pem=CA,
        )
        vault.jwt.AuthBackend(
            "fetched", path="fetched", jwks_url=f"{issuers}/one/keys", jwks_ca_pem=CA
        )
        vault.jwt.AuthBackendRole(
            "role",
            backend=keys.path.apply(str),
            role_name="worker",
            role_type="jwt",
            user_claim="sub",
            bound_audiences=["https://vault.example.com"],
            bound_subject="spiffe://example.com/agent/one",
            bound_claims={"tenant": "ours"},
            bound_claims_type="string",
            clock_skew_leeway=5,
            expiration_leeway=5,
            not_before_leeway=5,
            token_ttl=60,
            token_max_ttl=120,
            token_explicit_max_ttl=180,
            token_period=30,
            token_num_uses=3,
            token_type="service",
            token_policies=[policy.name],
            token_no_default_policy=True,
        )

    return declare


def _data(path: str, *names: str) -> Callable[[Live], Answer]:
    def read(live: Live) -> Answer:
        value = live.client("GET", path)["data"]
        for name in names:
            value = value[name]
        return value.strip() if isinstance(value, str) else value

    return read


def _post(path: str, **body: Answer) -> Callable[[Live], Answer]:
    return lambda live: live.client("POST", path, body)


def _config(resource: str, name: str, wire: str, written: Answer, **spoilt: Answer) -> Drift:
    path = f"auth/{resource}/config"
    return Drift(resource, name, written, _data(path, wire), _post(path, **spoilt))


def _spoilt(
    resource: str,
    path: str,
    written_at: str,
    table: dict[str, tuple[str, Answer, Answer]],
    *,
    rotates: bool = False,
) -> list[Drift]:
    def spoil(live: Live) -> None:
        if rotates:
            live.client("POST", f"{path}/rotate", {})
        live.client("POST", written_at, {wire: bad for wire, _, bad in table.values()})

    return [
        Drift(resource, name, written, _data(path, wire), spoil)
        for name, (wire, written, _) in table.items()
    ]


def drifts(issuers: str) -> list[Drift]:
    spoilt_keys = {
        "jwt_validation_pubkeys": [OTHER_KEY],
        "jwt_supported_algs": ["ES256"],
        "bound_issuer": "https://other.example.com",
        "default_role": "other",
    }
    return [
        Drift(
            "store",
            "description",
            "as written",
            _data("sys/mounts/kv", "description"),
            _post("sys/mounts/kv/tune", description="by hand"),
        ),
        Drift(
            "store",
            "defaultLeaseTtlSeconds",
            60,
            _data("sys/mounts/kv", "config", "default_lease_ttl"),
            _post("sys/mounts/kv/tune", default_lease_ttl="61s"),
        ),
        Drift(
            "store",
            "maxLeaseTtlSeconds",
            120,
            _data("sys/mounts/kv", "config", "max_lease_ttl"),
            _post("sys/mounts/kv/tune", max_lease_ttl="121s"),
        ),
        Drift(
            "plain",
            "options",
            {"version": "1"},
            _data("sys/mounts/plain", "options"),
            _post("sys/mounts/plain/tune", options={"version": "2"}),
        ),
        Drift(
            "policy",
            "policy",
            RULES,
            _data("sys/policies/acl/worker", "policy"),
            _post("sys/policies/acl/worker", policy=OTHER_RULES),
        ),
        *(
            Drift(
                resource,
                "description",
                written,
                _data(f"sys/auth/{resource}", "description"),
                _post(f"sys/auth/{resource}/tune", description="by hand"),
            )
            for resource, written in (("keys", "as written"),)
        ),
        _config("keys", "jwtValidationPubkeys", "jwt_validation_pubkeys", [KEY], **spoilt_keys),
        _config("keys", "jwtSupportedAlgs", "jwt_supported_algs", ["RS256"], **spoilt_keys),
        _config("keys", "boundIssuer", "bound_issuer", "https://idp.example.com", **spoilt_keys),
        _config("keys", "defaultRole", "default_role", "worker", **spoilt_keys),
        _config(
            "discovered",
            "oidcDiscoveryUrl",
            "oidc_discovery_url",
            f"{issuers}/one",
            oidc_discovery_url=f"{issuers}/two",
            oidc_discovery_ca_pem=OTHER_CA,
        ),
        _config(
            "discovered",
            "oidcDiscoveryCaPem",
            "oidc_discovery_ca_pem",
            CA.strip(),
            oidc_discovery_url=f"{issuers}/two",
            oidc_discovery_ca_pem=OTHER_CA,
        ),
        _config(
            "fetched",
            "jwksUrl",
            "jwks_url",
            f"{issuers}/one/keys",
            jwks_url=f"{issuers}/two/keys",
            jwks_ca_pem=OTHER_CA,
        ),
        _config(
            "fetched",
            "jwksCaPem",
            "jwks_ca_pem",
            CA.strip(),
            jwks_url=f"{issuers}/two/keys",
            jwks_ca_pem=OTHER_CA,
        ),
        *(
            Drift(
                "role",
                name,
                written,
                _data(ROLE, wire),
                # one write: some of these may only change together
                _post(
                    ROLE,
                    allowed_redirect_uris=["https://example.com"],
                    **{w: spoilt for w, _, spoilt in WRITTEN_ROLE.values()},
                ),
            )
            for name, (wire, written, _) in WRITTEN_ROLE.items()
        ),
        *_spoilt("certifies", CERTIFIES, CERTIFIES, WRITTEN_CERTIFICATE_ROLE),
        *_spoilt("lists", "certificates/config/crl", "certificates/config/crl", WRITTEN_LISTS),
        *_spoilt("key", "transit/keys/one", "transit/keys/one/config", WRITTEN_KEY, rotates=True),
    ]


def test_every_input_drift_of_the_vault_shows_in_refresh_and_is_put_right(
    engine: Callable[..., Answer],
    vault_cloud: Answer,
    issuers: str,
    prove_drift: Callable[..., None],
) -> None:
    types = (*mounts.TYPES, *jwt.TYPES, *pki.TYPES, *transit.TYPES)
    prove_drift(engine(program(issuers)), drifts(issuers), types, vault_cloud.call)


def test_vault_resources_can_be_imported_and_their_loss_shows(
    prove_import_and_loss: Callable[..., None], issuers: str
) -> None:
    prove_import_and_loss(program(issuers), set())
