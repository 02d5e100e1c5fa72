"""vault:pkiSecret SecretBackendRootCert, SecretBackendRole and SecretBackendCrlConfig.

- A root's private key is made in the vault and stays there: `type` is `internal` and nothing else.
- An issuer is known by its name: a vault that was told all again has another issuer of that name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from iamrange.engine.documents import unordered
from iamrange.engine.properties import has_unknown
from iamrange.engine.resource import Created, ResourceType
from iamrange.engine.vault_types.fields import (
    body_of,
    defaults_of,
    delete,
    live_of,
    refuse_existing,
)
from iamrange.engine.vault_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.vault_types.mounts import trimmed

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties
    from iamrange.engine.vault_types.fields import Table
    from iamrange.engine.vault_types.session import VaultSession

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERNAL: Final = "internal"
_MAKE_ROOT: Final = f"root/generate/{_INTERNAL}"

_ROLE: Final[dict[str, tuple[str, Any]]] = {
    "allowAnyName": ("allow_any_name", False),
    "allowIpSans": ("allow_ip_sans", True),
    "allowLocalhost": ("allow_localhost", True),
    "allowedUriSans": ("allowed_uri_sans", []),
    "basicConstraintsValidForNonCa": ("basic_constraints_valid_for_non_ca", False),
    "clientFlag": ("client_flag", True),
    "enforceHostnames": ("enforce_hostnames", True),
    "keyBits": ("key_bits", 2048),
    "keyType": ("key_type", "rsa"),
    "keyUsages": ("key_usage", ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
    "maxTtl": ("max_ttl", "0"),
    "noStore": ("no_store", False),
    "notBeforeDuration": ("not_before_duration", "30s"),
    "organizations": ("organization", []),
    "requireCn": ("require_cn", True),
    "serverFlag": ("server_flag", True),
    "ttl": ("ttl", "0"),
    "useCsrCommonName": ("use_csr_common_name", True),
    "useCsrSans": ("use_csr_sans", True),
}
"""A role: input -> (the vault's own name, its default). Each write names them all."""

_LISTS: Final[dict[str, tuple[str, Any]]] = {
    "autoRebuild": ("auto_rebuild", False),
    "autoRebuildGracePeriod": ("auto_rebuild_grace_period", "12h"),
    "disable": ("disable", False),
    "expiry": ("expiry", "72h"),
}
"""How revocation lists are made: input -> (the vault's own name, its default)."""


def seconds(duration: Any) -> Any:  # noqa: ANN401 - a string or a number
    """Return a duration of the vault's as a number of seconds; what is none is left as it is."""
    found = re.fullmatch(r"(\d+)([smhd]?)", str(duration))
    return duration if found is None else int(found[1]) * _UNITS[found[2]]


def _as_written(table: Table, data: Properties) -> dict[str, Any]:
    """Return the fields as inputs: durations are told as numbers, and are strings in a program."""
    return {
        name: str(value) if isinstance(table[name][1], str) else value
        for name, value in live_of(table, data).items()
    }


def _root_path(inputs: Properties) -> str:
    return f"{trimmed(inputs['backend'])}/issuer/{inputs['issuerName']}"


def _create_root(session: VaultSession, inputs: Properties) -> Created:
    path = _root_path(inputs)
    refuse_existing(session, path)
    session.call(
        "POST",
        f"{trimmed(inputs['backend'])}/{_MAKE_ROOT}",
        {
            "issuer_name": inputs["issuerName"],
            "common_name": inputs["commonName"],
            "organization": inputs["organization"],
            "uri_sans": ",".join(inputs["uriSans"]),
            "exclude_cn_from_sans": inputs["excludeCnFromSans"],
            "key_type": inputs["keyType"],
            "key_bits": inputs["keyBits"],
            "max_path_length": inputs["maxPathLength"],
            "ttl": inputs["ttl"],
        },
    )
    return Created(path)


@none_if_missing
def _read_root(session: VaultSession, path: str, state: Properties) -> Properties:
    live = session.call("GET", path)["data"]
    pem = live["certificate"]
    certificate = x509.load_pem_x509_certificate(pem.encode())
    key = certificate.public_key()
    kinds = (("ec", ec.EllipticCurvePublicKey), ("rsa", rsa.RSAPublicKey))
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    length = constraints.path_length
    backend, _, name = path.partition("/issuer/")
    names = _names(certificate)
    return {
        "backend": backend,
        "issuerName": name,
        "type": _INTERNAL,
        "commonName": _subject(certificate, NameOID.COMMON_NAME),
        "organization": _subject(certificate, NameOID.ORGANIZATION_NAME),
        "uriSans": names,
        "keyType": next((text for text, kind in kinds if isinstance(key, kind)), ""),
        "keyBits": getattr(key, "key_size", 0),
        "maxPathLength": -1 if length is None else length,
        # a life and whether the name was repeated are chosen once: no certificate says them
        "ttl": state.get("ttl"),
        "excludeCnFromSans": state.get("excludeCnFromSans"),
        "certificate": pem.strip(),
        "serialNumber": f"{certificate.serial_number:x}",
    }


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return found.get_values_for_type(x509.UniformResourceIdentifier)


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _delete_root(session: VaultSession, path: str, _state: Properties) -> None:
    with missing_is_fine():
        key = session.call("GET", path)["data"]["key_id"]
        session.call("DELETE", path)
        session.call("DELETE", f"{path.partition('/issuer/')[0]}/key/{key}")


def _root_problems(inputs: Properties) -> list[tuple[str, str]]:
    problems = []
    if inputs.get("type") != _INTERNAL:
        problems.append(("type", f"expected {_INTERNAL!r}: a key that leaves the vault is none"))
    if not inputs.get("issuerName"):
        problems.append(("issuerName", "required by this provider: an issuer is known by its name"))
    return problems


def _another_life(old: Properties, new: Properties) -> frozenset[str]:
    """Replace a root that is to be made with other settings; those of an imported one are new."""
    return frozenset(
        name
        for name in _ROOT_SETTINGS
        if old.get(name) is not None
        and not has_unknown(new.get(name))
        and seconds(old[name]) != seconds(new.get(name))
    )


def _update_root(_session: VaultSession, _change: Change) -> None:
    """Take note of an imported root's settings: all else makes another root."""


_ROOT_SETTINGS: Final = frozenset({"ttl", "excludeCnFromSans"})
_ROOT_INPUTS: Final = frozenset(
    {
        "backend",
        "commonName",
        "issuerName",
        "keyBits",
        "keyType",
        "maxPathLength",
        "organization",
        "type",
        "uriSans",
    }
)

ROOT: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert",  # noqa: S106 - a type token
    inputs=_ROOT_INPUTS | _ROOT_SETTINGS,
    computed=frozenset({"certificate", "serialNumber"}),
    force_new=_ROOT_INPUTS,
    also_force_new=_another_life,
    # a certificate does not change: by hand it can only go
    identity=_ROOT_INPUTS,
    settings=_ROOT_SETTINGS,
    defaults={
        "excludeCnFromSans": False,
        "keyBits": 2048,
        "keyType": "rsa",
        "maxPathLength": -1,
        "organization": "",
        "ttl": "0",
        "uriSans": [],
    },
    canonical={"backend": trimmed, "uriSans": unordered, "ttl": seconds},
    singleton=True,
    problems=_root_problems,
    create=_create_root,
    read=_read_root,
    update=_update_root,
    delete=_delete_root,
)


def _create_role(session: VaultSession, inputs: Properties) -> Created:
    path = f"{trimmed(inputs['backend'])}/roles/{inputs['name']}"
    refuse_existing(session, path)
    session.call("POST", path, body_of(_ROLE, inputs))
    return Created(path)


@none_if_missing
def _read_role(session: VaultSession, path: str, _state: Properties) -> Properties:
    live = session.call("GET", path)["data"]
    backend, _, name = path.partition("/roles/")
    return {"backend": backend, "name": name, **_as_written(_ROLE, live)}


def _update_role(session: VaultSession, change: Change) -> None:
    session.call("POST", change.identifier, body_of(_ROLE, change.new))


ROLE: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:pkiSecret/secretBackendRole:SecretBackendRole",  # noqa: S106 - a type token
    inputs=frozenset({"backend", "name", *_ROLE}),
    force_new=frozenset({"backend", "name"}),
    identity=frozenset({"backend", "name"}),
    defaults=defaults_of(_ROLE),
    canonical={
        "backend": trimmed,
        "allowedUriSans": unordered,
        "keyUsages": unordered,
        "organizations": unordered,
        **dict.fromkeys(("maxTtl", "notBeforeDuration", "ttl"), seconds),
    },
    singleton=True,
    create=_create_role,
    read=_read_role,
    update=_update_role,
    delete=delete,
)


def _write_lists(session: VaultSession, path: str, inputs: Properties) -> None:
    session.call("POST", path, body_of(_LISTS, inputs))


def _create_lists(session: VaultSession, inputs: Properties) -> Created:
    path = f"{trimmed(inputs['backend'])}/config/crl"
    _write_lists(session, path, inputs)
    return Created(path)


@none_if_missing
def _read_lists(session: VaultSession, path: str, _state: Properties) -> Properties:
    live = session.call("GET", path)["data"]
    return {"backend": path.removesuffix("/config/crl"), **_as_written(_LISTS, live)}


def _update_lists(session: VaultSession, change: Change) -> None:
    _write_lists(session, change.identifier, change.new)


def _delete_lists(_session: VaultSession, _path: str, _state: Properties) -> None:
    """Leave the settings: a mount has some as long as there is one."""


LISTS: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:pkiSecret/secretBackendCrlConfig:SecretBackendCrlConfig",  # noqa: S106 - a type token
    inputs=frozenset({"backend", *_LISTS}),
    force_new=frozenset({"backend"}),
    identity=frozenset({"backend"}),
    defaults=defaults_of(_LISTS),
    canonical={
        "backend": trimmed,
        **dict.fromkeys(("autoRebuildGracePeriod", "expiry"), seconds),
    },
    singleton=True,
    create=_create_lists,
    read=_read_lists,
    update=_update_lists,
    delete=_delete_lists,
)
TYPES: Final = (ROOT, ROLE, LISTS)
