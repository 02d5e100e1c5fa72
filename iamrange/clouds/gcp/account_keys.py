"""Keys of service accounts: making them, and what is shown of them.

- A user-managed private key leaves in the answer that creates it and is not kept.
- The system-managed key signs for IAM Credentials and never leaves.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from iamrange.clouds.gcp.state import AccountKey, ServiceAccount
from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BITS: Final = 2048
NEVER: Final = "9999-12-31T23:59:59Z"
USER: Final = "USER_MANAGED"
SYSTEM: Final = "SYSTEM_MANAGED"


def create_user_key(
    account: ServiceAccount, now: float, lifetime: float | None
) -> tuple[AccountKey, dict[str, str]]:
    """Make a key; return its public half and the key file, the only copy of the private one."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    key = _public_half(account, private, now, USER)
    key.expires = None if lifetime is None else now + lifetime
    account.keys[key.id] = key
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")
    return key, {
        "type": "service_account",
        "project_id": account.project.id,
        "private_key_id": key.id,
        "private_key": pem,
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": (
            "https://www.googleapis.com/robot/v1/metadata/x509/" + account.email.replace("@", "%40")
        ),
        "universe_domain": "googleapis.com",
    }


def upload_user_key(account: ServiceAccount, pem: bytes) -> AccountKey:
    """Register the public key of a certificate, for as long as the certificate is valid.

    Raises:
        ValueError: it is no certificate of an RSA key that we take.
    """
    found = x509.load_pem_x509_certificate(pem)
    public = found.public_key()
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < KEY_BITS:
        raise ValueError(f"certificate: expected an RSA key of at least {KEY_BITS} bits")
    key_id = _new_id()
    key = AccountKey(
        key_id,
        _jwk(public, key_id),
        found.public_bytes(serialization.Encoding.PEM).decode("ascii"),
        found.not_valid_before_utc.timestamp(),
        USER,
        expires=found.not_valid_after_utc.timestamp(),
        origin="USER_PROVIDED",
    )
    account.keys[key_id] = key
    return key


def system_key(account: ServiceAccount, now: float) -> tuple[str, rsa.RSAPrivateKey]:
    """Return the id of the system-managed key and the key, made when first needed."""
    if account.system_key is None:
        private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        key = _public_half(account, private, now, SYSTEM)
        account.keys[key.id] = key
        account.system_key = (key.id, private)
    return account.system_key


def sign(private: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """Sign as RS256 does."""
    return private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def sign_jwt(key_id: str, private: rsa.RSAPrivateKey, payload: bytes) -> str:
    """Return a compact JWS over the payload, byte for byte as it was given."""
    header = json.dumps({"alg": "RS256", "kid": key_id, "typ": "JWT"}, separators=(",", ":"))
    signing_input = f"{base64url(header.encode())}.{base64url(payload)}"
    return f"{signing_input}.{base64url(sign(private, signing_input.encode()))}"


def certificate(subject: str, private: rsa.RSAPrivateKey, now: float) -> str:
    """Return a self-signed certificate that carries a public key, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    start = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def public_jwk(private: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    """Return the public key as it goes into a JWKS."""
    return _jwk(private.public_key(), key_id)


def _jwk(public: rsa.RSAPublicKey, key_id: str) -> dict[str, Any]:
    numbers = public.public_numbers()
    return {
        "kty": "RSA",
        "kid": key_id,
        "alg": "RS256",
        "use": "sig",
        "n": base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
        "e": base64url(numbers.e.to_bytes(3, "big")),
    }


def key_name(account: ServiceAccount, key: AccountKey) -> str:
    """Return a key's resource name."""
    return f"projects/{account.project.id}/serviceAccounts/{account.email}/keys/{key.id}"


def encode_file(document: Mapping[str, str]) -> str:
    """Return a key file as `privateKeyData` carries it."""
    return base64.b64encode(json.dumps(document, indent=2).encode()).decode("ascii")


def _new_id() -> str:
    return hashlib.sha256(secrets.token_bytes(32)).hexdigest()[:40]


def _public_half(
    account: ServiceAccount, private: rsa.RSAPrivateKey, now: float, kind: str
) -> AccountKey:
    key_id = _new_id()
    return AccountKey(
        key_id,
        public_jwk(private, key_id),
        certificate(account.unique_id, private, now),
        now,
        kind,
    )
