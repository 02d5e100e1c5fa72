"""Multi-factor authentication on STS calls.

- A device counts when the store holds it enabled for the calling user, under that serial.
- The code is checked for its form only (the service model's six digits): any will do, because the
  embedded store enables devices without checking codes either. What the range shows is policies
  that ask for MFA, not the strength of a one-time code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsRequest, Caller, ContextValues, IamStore


def presents_mfa(request: AwsRequest) -> bool:
    """Tell whether the call presents a device at all."""
    return "SerialNumber" in request.parameters or "TokenCode" in request.parameters


def mfa_context(request: AwsRequest) -> ContextValues:
    """Return the MFA condition keys of a call whose device, if any, was accepted."""
    if not presents_mfa(request):
        return {}
    return {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}


def mfa_fault(request: AwsRequest, caller: Caller, store: IamStore) -> str | None:
    """Return why the presented device does not count, in STS's words, or None."""
    serial, code = (request.parameters.get(name) for name in ("SerialNumber", "TokenCode"))
    if serial is None or code is None:
        return "MultiFactorAuthentication failed, must provide both MFA serial and code"
    name = caller.user_name
    user = store.user(caller.account, name) if caller.account and name else None
    if user is None or serial not in user.mfa_serials:
        return "MultiFactorAuthentication failed with invalid MFA device"
    return None
