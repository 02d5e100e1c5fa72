"""Multi-factor authentication on STS calls.

- A device counts when the store holds it enabled for the calling user, under that serial.
- The code of a virtual device is checked by the seed that the store made for it (RFC 6238: SHA-1,
  30 seconds, 6 digits), one step early or late, each code once. Of a hardware device nobody here
  has the seed: any six digits will do.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsRequest, Caller, ContextValues, IamStore

_STEP = 30


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
    seed = store.mfa_seed(str(serial))
    if seed is not None:
        step = accepted_step(seed, str(code), request.now)
        if step is None or not store.use_mfa_step(str(serial), step):
            return "MultiFactorAuthentication failed with invalid MFA one time pass code."
    return None


def enabling_fault(request: AwsRequest, store: IamStore) -> str | None:
    """Return why a device is not enabled with the two codes given, in IAM's words, or None."""
    serial = str(request.parameters.get("SerialNumber"))
    seed = store.mfa_seed(serial)
    if seed is None:
        return None
    first, second = (str(request.parameters.get(f"AuthenticationCode{n}")) for n in (1, 2))
    step = accepted_step(seed, second, request.now)
    before = step is not None and one_time_code(seed, step - 1)
    if step is None or not before or not hmac.compare_digest(before, first):
        return "Authentication code for device is not valid."
    store.use_mfa_step(serial, step)
    return None


def accepted_step(seed: str, code: str, now: float) -> int | None:
    """Return the time step that a code is right for, near now; None if it is right for none."""
    current = int(now // _STEP)
    for step in (current, current - 1, current + 1):
        if hmac.compare_digest(one_time_code(seed, step), code):
            return step
    return None


def one_time_code(seed: str, step: int) -> str:
    """Return the code of a seed (base32) at a time step (RFC 4226, section 5.3)."""
    try:
        key = base64.b32decode(seed)
    except binascii.Error:
        return ""
    digest = hmac.new(key, step.to_bytes(8, "big"), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06d}"
