"""How a vault says that a thing is not there."""

from __future__ import annotations

from iamrange.engine.absence import Absence
from iamrange.engine.vault_types.session import VaultApiError

_ABSENCE = Absence(VaultApiError, lambda error: error.absent)
none_if_missing = _ABSENCE.none
missing_is_fine = _ABSENCE.is_fine
