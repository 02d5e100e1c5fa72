"""How long approvals live, how many prompts people get, and the lapses that a range can show."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from iamrange.access.vocabulary import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

MANAGER: Final = "manager"
ADMINISTRATOR: Final = "administrator"
LONGEST: Final = 3600
"""The longest life of a request, in seconds, and of a signature on one."""

APPROVERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {Action.EXECUTE.value: frozenset({ADMINISTRATOR})}
)
"""Actions that others than managers approve: any of the roles will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSettings:
    """Seconds and counts. What begins with `unsafe_` is the real-world lapse of one control."""

    life: int = 900
    body_limit: int = 64 * 1024
    url_limit: int = 6000
    pending_per_agent: int = 5
    pending_per_owner: int = 20
    pending_in_all: int = 200
    prompts: int = 20
    """New prompts of one agent within `window`."""
    window: int = 3600
    rest_after_denial: int = 600
    """An identical request that was denied is not asked again for so long."""
    interval: int = 5
    longest_interval: int = 60
    unsafe_ignores_binding: bool = False
    """An approval counts for any request of its agent, again and again."""
    unsafe_unlimited_prompts: bool = False
    """People are asked as often as an agent likes."""
    unsafe_approves_own: bool = False
    """Any signature counts as a manager's: nobody asks whose it is, and for whose request."""

    def __post_init__(self) -> None:
        """Check what would make the limits void.

        Raises:
            ValueError: a life, limit or interval that is none.
        """
        if not 1 <= self.life <= LONGEST:
            raise ValueError(f"approvals: life expected 1 to {LONGEST} s, got {self.life}")
        for name in ("body_limit", "pending_per_agent", "prompts", "window", "interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"approvals: {name} expected 1 or more")

    def roles_for(self, action: str) -> frozenset[str]:
        """Return the roles of which an approver of this action has one."""
        return APPROVERS.get(action, frozenset({MANAGER}))
