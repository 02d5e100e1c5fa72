"""How Google's services say that a thing is not there."""

from __future__ import annotations

from iamrange.engine.absence import Absence
from iamrange.engine.gcp_types.session import NOT_FOUND, GcpError

_ABSENCE = Absence(GcpError, lambda error: error.status == NOT_FOUND)
none_if_missing = _ABSENCE.none
missing_is_fine = _ABSENCE.is_fine
