"""What can be wrong with the range's own vault."""

from __future__ import annotations


class VaultError(Exception):
    """The vault cannot do what was asked; `reason` is a stable code."""

    reason = "vault-broken"


class VaultMissingError(VaultError):
    """There is no OpenBao that this machine can run; the message names the way out."""

    reason = "vault-missing"


class VaultStartError(VaultError):
    """OpenBao did not come up, or did not take back what it had held; the message says what."""

    reason = "vault-did-not-start"


class VaultDownError(VaultError):
    """OpenBao did not answer."""

    reason = "vault-down"
