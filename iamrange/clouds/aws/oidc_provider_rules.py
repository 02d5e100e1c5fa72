"""What IAM asks of an OpenID Connect provider's URL, client ids and thumbprints.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iamrange.clouds.aws.model import AwsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_URL: Final = 255
_MAX_CLIENT_IDS: Final = 100
_MAX_CLIENT_ID: Final = 255
_MAX_THUMBPRINTS: Final = 5
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")
_HOST: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PATH: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")


def url_fault(url: str) -> AwsError | None:
    """Refuse a URL that is not https, or that has a port, a query, a fragment or a user.

    The path is kept as it is: a trailing slash makes another provider.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _invalid_url()
    plain = parts.scheme == "https" and _HOST.fullmatch(parts.netloc) and port is None
    bare = not parts.query and not parts.fragment and "?" not in url and "#" not in url
    if len(url) > _MAX_URL or not plain or not bare or not _PATH.fullmatch(parts.path):
        return _invalid_url()
    return None


def client_ids_fault(client_ids: Sequence[str]) -> AwsError | None:
    """Refuse too many client ids, or one of the wrong length."""
    if any(not 1 <= len(client_id) <= _MAX_CLIENT_ID for client_id in client_ids):
        message = f"A client id has 1 to {_MAX_CLIENT_ID} characters"
        return AwsError(code="ValidationError", message=message, status=400)
    if len(client_ids) > _MAX_CLIENT_IDS:
        message = f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {_MAX_CLIENT_IDS}"
        return AwsError(code="LimitExceeded", message=message, status=409)
    return None


def thumbprints_fault(thumbprints: Sequence[str]) -> AwsError | None:
    """Refuse more than five thumbprints, or one that is no SHA-1 in hexadecimal.

    None at all is fine: IAM then takes the issuer's own (`IssuerKeys.thumbprints`).
    """
    if len(thumbprints) > _MAX_THUMBPRINTS:
        message = "Thumbprint list must contain fewer than 5 entries."
        return AwsError(code="InvalidInput", message=message, status=400)
    if any(not _THUMBPRINT.fullmatch(thumbprint) for thumbprint in thumbprints):
        message = "A thumbprint is 40 hexadecimal digits"
        return AwsError(code="ValidationError", message=message, status=400)
    return None


def _invalid_url() -> AwsError:
    message = "Invalid Open ID Connect Provider URL"
    return AwsError(code="ValidationError", message=message, status=400)
