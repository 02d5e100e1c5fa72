"""Multi-factor authentication on STS calls.

- A device counts when the store holds it enabled for the calling user, under that serial.
- The code is checked for its form only: the store keeps no usable seed for every kind of device, so
  any six digits are accepted. What the range shows is policies that ask for MFA, not the
  strength of a one-time code.
"""

from __future__ import annotations

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, ContextValues, IamStore


def mfa_context(request: AwsRequest, caller: Caller, store: IamStore) -> ContextValues | AwsError:
    """Return the MFA condition keys of a call that presents a device, or its refusal.

    A call that presents none adds nothing.
    """
    serial, code = (request.parameters.get(name) for name in ("SerialNumber", "TokenCode"))
    if serial is None and code is None:
        return {}
    if serial is None or code is None:
        return _denied("MultiFactorAuthentication failed, must provide both MFA serial and code")
    name = caller.user_name
    user = store.user(caller.account, name) if caller.account and name else None
    if user is None or serial not in user.mfa_serials:
        return _denied("MultiFactorAuthentication failed with invalid MFA device")
    return {"aws:MultiFactorAuthPresent": "true", "aws:MultiFactorAuthAge": "0"}


def _denied(message: str) -> AwsError:
    return AwsError(code="AccessDenied", message=message, status=403)
