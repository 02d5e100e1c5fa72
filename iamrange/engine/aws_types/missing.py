"""How AWS says that a thing is not there."""

from __future__ import annotations

from botocore.exceptions import ClientError

from iamrange.engine.absence import Absence

_ENDINGS = ("NotFound", "NotFoundException", "NotFoundFault", "DoesNotExistException", "404")


def is_missing(error: ClientError) -> bool:
    """Whether the error says that the thing does not exist."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code.startswith("NoSuch") or code.endswith(_ENDINGS)


_ABSENCE = Absence(ClientError, is_missing)
none_if_missing = _ABSENCE.none
missing_is_fine = _ABSENCE.is_fine
