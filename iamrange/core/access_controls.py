"""The controls that work between agents and services: at the gateway and in the mesh behind it."""

from __future__ import annotations

from functools import partial

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, own_control

GATEWAY = "gateway.call"
"""The decision point of every call through the gateway."""

ASKING = "approvals.ask"
"""The decision point of an agent's request for approval."""

APPROVING = "approvals.decide"
"""The decision point of a signature on such a request."""

EGRESS = "agent.egress"
"""The decision point at the one way out of an agent's process."""


_control = partial(own_control, Layer.ACCESS, point=GATEWAY)
SCOPE_ENFORCED = _control(
    "scope-enforced",
    summary="Each route asks for its own scope, and a token without it goes no further.",
    without_it="The gateway takes any good token for any route: scopes are there and not compared.",
    layer="scope",
    reason="insufficient-scope",
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_3),
)
REGO_POLICY = _control(
    "rego-policy",
    summary="A policy decides each call by role and attributes, and denies what it does not name.",
    without_it="Whoever holds a token with the scope may call: no policy is asked.",
    layer="policy",
    # its own reasons: those of labels (d...) and approvals (a...) are other controls'
    reason="[!ad]*",
    maps_to=(fw.NHI5, fw.ASI02, fw.AC_24),
)
CLASSIFICATION = _control(
    "classification",
    summary="Data carries a label, and an agent reads nothing above its own ceiling.",
    without_it="Data carries no labels: everything counts as public.",
    layer="policy",
    reason="data-above-ceiling",
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_3_13),
)
RATE_LIMIT = _control(
    "rate-limit",
    summary="An agent makes so many calls a minute, and no more.",
    without_it="Calls are not counted: an agent calls as fast as it can.",
    layer="limit",
    reason="*rate*",
    maps_to=(fw.ASI02, fw.SC_5, fw.T1499),
)
SEGMENTATION = _control(
    "segmentation",
    summary="A service's sidecar speaks mutual TLS, and only with the SPIFFE ids on its list.",
    without_it="Sidecars take any connection, and services believe what its headers say.",
    point="mesh.handshake",
    layer="certificate",
    reason="*",
    maps_to=(fw.NHI4, fw.ASI07, fw.SC_8),
)
IDENTITY_HEADERS_STRIPPED = _control(
    "identity-headers-stripped",
    summary="The gateway drops what a caller says about who it is, and says it itself.",
    without_it="The gateway adds its own header to the caller's, and services read the first.",
    point="service.record",
    layer="owner",
    reason="another-agents-record",
    maps_to=(fw.NHI4, fw.ASI07, fw.IA_9),
)
PATH_NORMALISED = _control(
    "path-normalised",
    summary="A path that can be read in two ways is refused before anybody decides by it.",
    without_it="The gateway decides by the path as it came, and the service resolves it.",
    layer="canonical",
    reason="*",
    maps_to=(fw.ASI02, fw.SI_10, fw.AC_3),
)
GATEWAY_ONLY_EGRESS = _control(
    "gateway-only-egress",
    summary="An agent's process has one way out, to the gateway and nowhere else.",
    without_it="An agent's process has the host's network: it reaches whatever the host reaches.",
    point=EGRESS,
    layer="names",
    reason="not-let-out",
    maps_to=(fw.ASI01, fw.ASI02, fw.SC_7),
)
APPROVAL = _control(
    "approval",
    summary="Production deployments, deletions and transfers of money wait for a human's approval.",
    without_it="High-impact actions are calls like any others.",
    layer="policy",
    reason="approval-required",
    maps_to=(fw.ASI09, fw.ASI02, fw.AC_3_2),
)
APPROVAL_BOUND = _control(
    "approval-bound-to-request",
    summary="An approval is good for one agent, one request with these parameters, once.",
    without_it="An approval is a ticket: whatever its agent does with it, as often as it likes.",
    layer="approval",
    reason="approval-[fu][os]*",  # for another agent or request, or used
    maps_to=(fw.ASI09, fw.AC_3_2, fw.AC_5),
)
APPROVED_BY_OTHERS = _control(
    "approved-by-others",
    summary="Managers approve: no agent does, nobody for oneself, and no owner for an own agent.",
    without_it="Whatever is signed counts as approved: nobody asks whose signature it is.",
    point=APPROVING,
    layer="separation",
    reason="*",
    maps_to=(fw.ASI09, fw.AC_5, fw.AC_3_2),
)
PROMPTS_LIMITED = _control(
    "prompts-limited",
    summary="People are asked so often an hour, and so many requests wait at once; no more.",
    without_it="An agent asks as often as it likes, until somebody agrees to be left alone.",
    point=ASKING,
    layer="ask",
    reason="too-many-prompts",
    maps_to=(fw.ASI09, fw.SC_5, fw.T1621),
)
CONTROLS: tuple[Control, ...] = (
    SCOPE_ENFORCED,
    REGO_POLICY,
    CLASSIFICATION,
    RATE_LIMIT,
    SEGMENTATION,
    IDENTITY_HEADERS_STRIPPED,
    PATH_NORMALISED,
    GATEWAY_ONLY_EGRESS,
    APPROVAL,
    APPROVAL_BOUND,
    APPROVED_BY_OTHERS,
    PROMPTS_LIMITED,
)
