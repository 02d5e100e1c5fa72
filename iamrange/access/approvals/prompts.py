"""How often people may be asked: an approver who is worn down approves anything. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.approvals.reasons import Reason

if TYPE_CHECKING:
    from iamrange.access.approvals.ports import Limit, Prompts
    from iamrange.access.approvals.settings import ApprovalSettings


def prompt_limit(settings: ApprovalSettings, now: float) -> Limit:
    """Return what decides whether people are asked once more at this moment."""

    def limit(prompts: Prompts) -> ApprovalRefusal | None:
        if settings.unsafe_unlimited_prompts:
            return None
        return (
            _denied(prompts, settings, now)
            or _pending(prompts, settings)
            or _rate(prompts, settings, now)
        )

    return limit


def _denied(prompts: Prompts, settings: ApprovalSettings, now: float) -> ApprovalRefusal | None:
    if prompts.denied is None:
        return None
    left = prompts.denied + settings.rest_after_denial - now
    if left <= 0:
        return None
    return _refusal(
        Reason.TOO_MANY_PROMPTS,
        "the same was just denied",
        left,
        settings.rest_after_denial,
    )


def _pending(prompts: Prompts, settings: ApprovalSettings) -> ApprovalRefusal | None:
    for count, most, whose in (
        (prompts.pending_of_agent, settings.pending_per_agent, "of this agent"),
        (prompts.pending_of_owner, settings.pending_per_owner, "of this owner's agents"),
        (prompts.pending_in_all, settings.pending_in_all, "in all"),
    ):
        if count >= most:
            detail = f"{count} requests {whose} wait, at most {most}"
            # somebody decides, or the oldest expires: nobody knows which, or when
            return ApprovalRefusal(Reason.TOO_MANY_PROMPTS, detail, min(60, settings.life))
    return None


def _rate(prompts: Prompts, settings: ApprovalSettings, now: float) -> ApprovalRefusal | None:
    if len(prompts.recent) < settings.prompts:
        return None
    leaving = prompts.recent[-settings.prompts]
    detail = f"{len(prompts.recent)} requests in {settings.window} s, at most {settings.prompts}"
    left = leaving + settings.window - now
    return _refusal(Reason.TOO_MANY_PROMPTS, detail, left, settings.window)


def _refusal(reason: Reason, detail: str, left: float, most: float) -> ApprovalRefusal:
    # moments that lie ahead are from before the clock was set back
    return ApprovalRefusal(reason, detail, math.ceil(min(max(left, 1), most)))
