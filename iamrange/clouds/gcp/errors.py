"""What the embedded Google Cloud answers when it does not do what was asked.

- Exceptions carry a wire answer from a handler to the edge; a *decision* is never one of them:
  it is made, recorded and then obeyed by raising the answer.
- Shapes follow google.rpc.Status with its standard details (cloud.google.com/apis/design/errors)
  and, for token endpoints, RFC 6749 section 5.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
}


class WireError(Exception):
    """An answer other than success: an HTTP status and a JSON body."""

    http_status: int

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        raise NotImplementedError


class ApiError(WireError):
    """A google.rpc.Status answer."""

    def __init__(
        self, status: str, message: str, details: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Take the canonical status name, the message and the details."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = tuple(details)
        self.http_status = _HTTP_STATUS[status]

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        error: dict[str, Any] = {
            "code": self.http_status,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = [dict(detail) for detail in self.details]
        return {"error": error}


class OAuthError(WireError):
    """A token endpoint's error answer (RFC 6749 section 5.2)."""

    def __init__(self, error: str, description: str, http_status: int = 400) -> None:
        """Take the error code and its description."""
        super().__init__(description)
        self.error = error
        self.description = description
        self.http_status = http_status

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        return {"error": self.error, "error_description": self.description}


def error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return a google.rpc.ErrorInfo detail."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
        "metadata": dict(metadata),
    }


def invalid_argument(message: str) -> ApiError:
    """Return the answer for a request that is wrong whatever the state."""
    return ApiError("INVALID_ARGUMENT", message)


def unknown_member(name: str) -> ApiError:
    """Return the answer for a body with a member that its message does not have."""
    return invalid_argument(
        f'Invalid JSON payload received. Unknown name "{name[:100]}": Cannot find field.'
    )


def not_found(message: str = "Requested entity was not found.") -> ApiError:
    """Return the answer for a resource that is not there."""
    return ApiError("NOT_FOUND", message)


def already_exists(message: str = "Requested entity already exists") -> ApiError:
    """Return the answer for a name that is taken."""
    return ApiError("ALREADY_EXISTS", message)


def unauthenticated(reason: str, message: str, service: str) -> ApiError:
    """Return the answer for missing or unusable credentials."""
    return ApiError(
        "UNAUTHENTICATED",
        message,
        [error_info(reason, "googleapis.com", {"service": service})],
    )


def failed_precondition(message: str, constraint: str, subject: str, description: str) -> ApiError:
    """Return the answer for a request that an organisation policy forbids."""
    return ApiError(
        "FAILED_PRECONDITION",
        message,
        [
            {
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [
                    {"type": constraint, "subject": subject, "description": description}
                ],
            }
        ],
    )
