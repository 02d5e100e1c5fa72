"""Secrets of AWS Secrets Manager and of Google Secret Manager, by the vendors' own clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.exceptions
import google.api_core.exceptions
import google.auth.exceptions

from iamrange.credentials.source import (
    Secret,
    SecretError,
    SecretMissingError,
    SecretRefusedError,
    SecretUnavailableError,
    VaultUnreachableError,
)

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient

_MISSING = frozenset({"ResourceNotFoundException"})
_LATER = frozenset(
    {
        "InternalServiceError",
        "InternalFailure",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""AWS's codes for what may go well when it is asked again."""

_SERVER_ERROR = 500
_TOO_MANY = 429
_NOT_FOUND = 404
_SECONDS = 10.0


class AwsSource:
    """Reads AWS Secrets Manager; a name is a secret's ARN or name."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        """Take boto3's client for `secretsmanager`."""
        self._client = client

    def read(self, name: str) -> Secret:
        """Return the current version of a secret.

        Raises:
            SecretError: it cannot be had.
        """
        try:
            answer = self._client.get_secret_value(SecretId=name)
        except botocore.exceptions.ClientError as error:
            raise _of_aws(error, name) from error
        except (
            botocore.exceptions.HTTPClientError,
            botocore.exceptions.ConnectionError,
        ) as error:
            raise VaultUnreachableError(
                f"aws secret '{name}': nobody answers ({type(error).__name__})"
            ) from error
        except botocore.exceptions.BotoCoreError as error:
            raise SecretRefusedError(
                f"aws secret '{name}': no credentials to ask with ({type(error).__name__})"
            ) from error
        if "SecretString" not in answer:
            raise SecretMissingError(f"aws secret '{name}': expected text, it holds bytes")
        return Secret(str(answer["SecretString"]), str(answer["VersionId"]))


def _of_aws(error: botocore.exceptions.ClientError, name: str) -> SecretError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", _SERVER_ERROR)
    if code in _MISSING:
        return SecretMissingError(f"aws secret '{name}': there is none, or no current version")
    if code in _LATER or status >= _SERVER_ERROR or status == _TOO_MANY:
        return SecretUnavailableError(f"aws secret '{name}': {code or status}")
    return SecretRefusedError(f"aws secret '{name}': refused: {code}")


class GcpSource:
    """Reads Google Secret Manager; a name is `projects/PROJECT/secrets/SECRET`."""

    def __init__(self, client: SecretManagerServiceClient) -> None:
        """Take Google's own client."""
        self._client = client

    def read(self, name: str) -> Secret:
        """Return the latest version of a secret.

        Raises:
            SecretError: it cannot be had.
        """
        try:
            answer = self._client.access_secret_version(
                # asked again by whoever wants that: here it is asked once
                name=f"{name}/versions/latest",
                timeout=_SECONDS,
                retry=None,
            )
        except google.api_core.exceptions.GoogleAPICallError as error:
            raise _of_google(error, name) from error
        except google.auth.exceptions.TransportError as error:
            raise VaultUnreachableError(
                f"gcp secret '{name}': nobody answers ({type(error).__name__})"
            ) from error
        except google.auth.exceptions.GoogleAuthError as error:
            raise SecretRefusedError(
                f"gcp secret '{name}': no credentials to ask with ({type(error).__name__})"
            ) from error
        version = str(answer.name).rpartition("/")[2]
        return Secret(bytes(answer.payload.data).decode(), version)


def _of_google(error: google.api_core.exceptions.GoogleAPICallError, name: str) -> SecretError:
    status = int(error.code or _SERVER_ERROR)
    if status == _NOT_FOUND:
        return SecretMissingError(f"gcp secret '{name}': there is none, or no version")
    if status >= _SERVER_ERROR or status == _TOO_MANY:
        return SecretUnavailableError(f"gcp secret '{name}': {type(error).__name__}")
    return SecretRefusedError(f"gcp secret '{name}': refused: {type(error).__name__}")
