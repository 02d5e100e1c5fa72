"""Secret Manager v1: the versions of a secret, which hold the payloads.

- `latest` is the newest version, whatever its state; an alias names one version.
- A disabled or destroyed version answers 400 FAILED_PRECONDITION to one who may read it.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.crc32c import crc32c
from iamrange.clouds.gcp.errors import ApiError, invalid_argument, not_found
from iamrange.clouds.gcp.paging import page
from iamrange.clouds.gcp.secret_manager import HOST, SECRET, Secrets, check_etag
from iamrange.clouds.gcp.state import Secret, SecretVersion, new_etag, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, message, service_routes

if TYPE_CHECKING:
    from iamrange.clouds.gcp.access import Access

MAX_PAYLOAD: Final = 65_536
_VERSIONS: Final = SECRET + "/versions"
_VERSION: Final = _VERSIONS + "/{version}"
_STATE_NUMBERS: Final = {"ENABLED": 1, "DISABLED": 2, "DESTROYED": 3}


class SecretVersions:
    """The versions."""

    def __init__(self, access: Access, secrets: Secrets) -> None:
        """Take the shared access and the secrets."""
        self._access = access
        self._secrets = secrets

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            HOST,
            [
                ("POST", SECRET + ":addVersion", self.add),
                ("GET", _VERSIONS, self.list_versions),
                ("GET", _VERSION, self.get),
                ("GET", _VERSION + ":access", self.access),
                ("POST", _VERSION + ":enable", self.enable),
                ("POST", _VERSION + ":disable", self.disable),
                ("POST", _VERSION + ":destroy", self.destroy),
            ],
        )

    def add(self, call: Call, project: str, secret: str) -> Body:
        """Add a version."""
        found = self._secrets.find(call, project, secret, "secretmanager.versions.add")
        payload = message(call.json(), "payload")
        data = _decoded(payload.get("data"))
        if not data:
            raise invalid_argument("Secret Payload cannot be empty.")
        given = payload.get("dataCrc32c", payload.get("dataCrc32C"))
        if given is not None and str(given) != str(crc32c(data)):
            raise invalid_argument("The payload does not match its CRC-32C checksum.")
        number = max(found.versions, default=0) + 1
        version = SecretVersion(
            number, data, self._access.clock.now(), crc32c_given=given is not None
        )
        found.versions[number] = version
        return _encoded(call, version_to_json(found, version))

    def list_versions(self, call: Call, project: str, secret: str) -> Body:
        """List the versions, newest first."""
        found = self._secrets.find(call, project, secret, "secretmanager.versions.list")
        newest_first = sorted(found.versions.values(), key=lambda v: -v.number)
        shown = [version_to_json(found, version) for version in newest_first]
        answer = page(call, "versions", shown, filtered=True)
        if "versions" in answer:
            answer["versions"] = [_encoded(call, version) for version in answer["versions"]]
        return answer

    def get(self, call: Call, project: str, secret: str, version: str) -> Body:
        """Return a version's metadata."""
        found, one = self._find(call, project, secret, version, "get")
        return _encoded(call, version_to_json(found, one))

    def access(self, call: Call, project: str, secret: str, version: str) -> Body:
        """Return a version's payload."""
        found, one = self._find(call, project, secret, version, "access")
        name = f"{found.name}/versions/{one.number}"
        if one.state != "ENABLED" or one.payload is None:
            raise ApiError(
                "FAILED_PRECONDITION", f"Secret Version [{name}] is in {one.state} state."
            )
        data = base64.b64encode(one.payload).decode("ascii")
        return {
            "name": name,
            "payload": {"data": data, "dataCrc32c": str(crc32c(one.payload))},
        }

    def enable(self, call: Call, project: str, secret: str, version: str) -> Body:
        """Enable a version."""
        return self._change(call, project, secret, version, "enable", "ENABLED")

    def disable(self, call: Call, project: str, secret: str, version: str) -> Body:
        """Disable a version."""
        return self._change(call, project, secret, version, "disable", "DISABLED")

    def destroy(self, call: Call, project: str, secret: str, version: str) -> Body:
        """Destroy a version's payload for good."""
        return self._change(call, project, secret, version, "destroy", "DESTROYED")

    def _change(  # noqa: PLR0913, PLR0917 - each names one part
        self, call: Call, project: str, secret: str, version: str, verb: str, state: str
    ) -> Body:
        found, one = self._find(call, project, secret, version, verb)
        check_etag(call.json().get("etag"), one.etag)
        if one.state == "DESTROYED":
            raise ApiError(
                "FAILED_PRECONDITION",
                f"Secret Version [{found.name}/versions/{one.number}] is in DESTROYED state.",
            )
        one.state = state
        one.etag = new_etag()
        if state == "DESTROYED":
            one.payload = None
            one.destroyed = self._access.clock.now()
        return _encoded(call, version_to_json(found, one))

    def _find(
        self, call: Call, project: str, secret: str, version: str, verb: str
    ) -> tuple[Secret, SecretVersion]:
        permission = f"secretmanager.versions.{verb}"
        found = self._secrets.find(call, project, secret, permission, version=version)
        number = _number(found, version)
        one = found.versions.get(number) if number is not None else None
        if one is None:
            raise not_found(f"Secret Version [{found.name}/versions/{version}] not found.")
        return found, one


def _encoded(call: Call, version: Body) -> Body:
    """Write enumerations as numbers for a client that asks for it, as Google's own do."""
    if "enum-encoding=int" not in call.query.get("$alt", ""):
        return version
    return {**version, "state": _STATE_NUMBERS[version["state"]]}


def version_to_json(secret: Secret, version: SecretVersion) -> Body:
    """Return a version as the API shows it."""
    answer: Body = {
        "name": f"{secret.name}/versions/{version.number}",
        "createTime": timestamp(version.created),
        "state": version.state,
        "replicationStatus": _replication_status(secret),
        "etag": version.etag,
    }
    if version.crc32c_given:
        answer["clientSpecifiedPayloadChecksum"] = True
    if version.destroyed is not None:
        answer["destroyTime"] = timestamp(version.destroyed)
    return answer


def _replication_status(secret: Secret) -> Body:
    replication = secret.document["replication"]
    if "automatic" in replication:
        return {"automatic": {}}
    return {"userManaged": {"replicas": list(replication["userManaged"]["replicas"])}}


def _number(secret: Secret, version: str) -> int | None:
    if version == "latest":
        return max(secret.versions, default=None)
    if re.fullmatch(r"[1-9]\d{0,9}", version):
        return int(version)
    alias = (secret.document.get("versionAliases") or {}).get(version)
    return int(alias) if alias is not None else None


def _decoded(data: Any) -> bytes:  # noqa: ANN401 - any JSON value
    text = str(data or "").replace("-", "+").replace("_", "/")
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise invalid_argument("Invalid value at 'payload.data': base64 is expected.") from error
    if len(value) > MAX_PAYLOAD:
        raise invalid_argument(f"The payload exceeds {MAX_PAYLOAD} bytes.")
    return value
