"""What each control's lapse amounts to in the range's own services: one table.

- A lapse sets one or more `unsafe_...` of the parts; nothing else differs.
- `edge` are settings of Envoy, which is started anew when they change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.core import access_controls, detect_controls, identity_controls, secrets_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.core.control import Control

_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapse:
    """Settings of token service, token verifiers, gateway, its edge, approvals, services' log."""

    tokens: Mapping[str, Any] = field(default_factory=dict)
    verifiers: Mapping[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, Any] = field(default_factory=dict)
    edge: Mapping[str, Any] = field(default_factory=dict)
    approvals: Mapping[str, Any] = field(default_factory=dict)
    log: Mapping[str, Any] = field(default_factory=dict)


LAPSES: Mapping[Control, Lapse] = {
    identity_controls.REGISTERED_AGENTS_ONLY: Lapse(tokens={"unsafe_open_registration": True}),
    identity_controls.PRIVATE_KEY_JWT: Lapse(tokens={"unsafe_accepts_client_secret": True}),
    identity_controls.SHORT_TOKENS: Lapse(
        tokens={"lifetime": _DAY}, verifiers={"unsafe_any_lifetime": True}
    ),
    identity_controls.SENDER_CONSTRAINED: Lapse(
        tokens={"unsafe_issues_bearer": True}, verifiers={"unsafe_accepts_bearer": True}
    ),
    identity_controls.CERTIFICATE_BOUND: Lapse(verifiers={"unsafe_ignores_certificate": True}),
    identity_controls.AUDIENCE_RESTRICTED: Lapse(
        tokens={"unsafe_any_audience": True}, verifiers={"unsafe_ignores_audience": True}
    ),
    identity_controls.SCOPE_LIMITS: Lapse(tokens={"unsafe_any_scope": True}),
    identity_controls.EXCHANGE_NARROWS: Lapse(tokens={"unsafe_exchange_widens": True}),
    identity_controls.REVOCATION: Lapse(
        verifiers={"unsafe_ignores_revocation": True},
        gateway={"unsafe_ignores_agent_state": True},
    ),
    identity_controls.CLOUD_TOKENS_APART: Lapse(tokens={"unsafe_cloud_resources": True}),
    # the directory's: the old key stays
    identity_controls.KEY_ROTATION: Lapse(),
    identity_controls.CERTIFICATE_WITHDRAWAL: Lapse(
        tokens={"unsafe_ignores_withdrawal": True}, edge={"unsafe_ignores_withdrawal": True}
    ),
    # the operators' own: the old secret stays in the directory
    secrets_controls.ROTATION: Lapse(),
    access_controls.SCOPE_ENFORCED: Lapse(gateway={"unsafe_ignores_scope": True}),
    access_controls.REGO_POLICY: Lapse(gateway={"unsafe_asks_no_policy": True}),
    access_controls.CLASSIFICATION: Lapse(gateway={"unsafe_unlabelled_data": True}),
    access_controls.RATE_LIMIT: Lapse(gateway={"unsafe_no_rate_limit": True}),
    access_controls.APPROVAL: Lapse(gateway={"unsafe_needs_no_approval": True}),
    access_controls.APPROVAL_BOUND: Lapse(approvals={"unsafe_ignores_binding": True}),
    access_controls.APPROVED_BY_OTHERS: Lapse(approvals={"unsafe_approves_own": True}),
    access_controls.PROMPTS_LIMITED: Lapse(approvals={"unsafe_unlimited_prompts": True}),
    access_controls.PATH_NORMALISED: Lapse(
        gateway={"unsafe_raw_paths": True}, edge={"unsafe_raw_paths": True}
    ),
    access_controls.IDENTITY_HEADERS_STRIPPED: Lapse(edge={"unsafe_keeps_identity_headers": True}),
    # the agents' own: they are started without a jail
    access_controls.GATEWAY_ONLY_EGRESS: Lapse(),
    # the log's own: it is kept as plain lines
    detect_controls.AUDIT_CHAIN: Lapse(),
    # the watch's own: it asks fewer rules, or does less about who is accused
    detect_controls.BEHAVIOUR_BASELINE: Lapse(),
    detect_controls.HARD_LIMITS: Lapse(),
    detect_controls.AUTOMATIC_REVOCATION: Lapse(),
    detect_controls.ISOLATION: Lapse(),
    detect_controls.VAULT_ISOLATION: Lapse(),
    # the victim's own: its key is written into what the attacker copies
    secrets_controls.NO_HARD_CODED_CREDENTIALS: Lapse(),
    secrets_controls.REDACTION: Lapse(log={"unsafe_as_given": True}),
    access_controls.SEGMENTATION: Lapse(edge={"unsafe_sidecars_accept_anyone": True}),
}
_BY_ID = {control.id: lapse for control, lapse in LAPSES.items()}


def own(off: Iterable[str]) -> frozenset[str]:
    """Return those of the controls that are switched here."""
    return frozenset(off) & _BY_ID.keys()


def combined(off: Iterable[str]) -> Lapse:
    """Return what the absence of these controls sets, all together."""
    found = [_BY_ID[name] for name in sorted(own(off))]

    def merged(part: str) -> dict[str, Any]:
        return {name: value for lapse in found for name, value in getattr(lapse, part).items()}

    return Lapse(**{part: merged(part) for part in Lapse.__dataclass_fields__})
