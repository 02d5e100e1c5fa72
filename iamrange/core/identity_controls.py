"""The controls that work in our own token service and at the services that take its tokens."""

from __future__ import annotations

from functools import partial

from iamrange.core import frameworks as fw
from iamrange.core.control import Layer, own_control

_control = partial(own_control, Layer.IDENTITY)
REGISTERED_AGENTS_ONLY = _control(
    "registered-agents-only",
    summary="Only agents that the directory knows get tokens; nobody registers itself.",
    without_it="The registration endpoint is open: whoever reaches it becomes an agent.",
    point="as.register",
    layer="registration",
    reason="registration-closed",
    maps_to=(fw.NHI4, fw.ASI10, fw.IA_9),
)
PRIVATE_KEY_JWT = _control(
    "private-key-jwt",
    summary="An agent proves itself to the token service with a private key that never travels.",
    without_it="The token service takes a client secret, which lies wherever it is configured.",
    point="as.token",
    layer="client",
    reason="method-not-allowed",
    maps_to=(fw.NHI2, fw.NHI4, fw.IA_5_7),
)
SHORT_TOKENS = _control(
    "short-tokens",
    summary="An access token lives for 300 seconds.",
    without_it="Access tokens live for a day, so that nobody has to renew them.",
    point="rs.token",
    layer="time",
    reason="expired",
    maps_to=(fw.NHI7, fw.SC_23),
)
SENDER_CONSTRAINED = _control(
    "sender-constrained",
    summary="An access token works only together with the key that it was issued to (DPoP).",
    without_it="Services take an access token from whoever shows it.",
    point="rs.token",
    layer="binding",
    reason="bound-token-as-bearer",
    maps_to=(fw.NHI4, fw.ASI03, fw.SC_23),
)
CERTIFICATE_BOUND = _control(
    "certificate-bound",
    summary="A token got over mutual TLS works only over a connection with the same certificate.",
    without_it="Services do not compare the certificate of the connection with the token's.",
    point="rs.token",
    layer="binding",
    reason="*certificate*",
    maps_to=(fw.NHI4, fw.SC_23),
)
AUDIENCE_RESTRICTED = _control(
    "audience-restricted",
    summary="A token is for one service: it carries that service's scopes, and no other takes it.",
    without_it="One token for everything: all registered scopes in it, and no service looks whom "
    "it was made for.",
    point="rs.token",
    layer="audience",
    reason="wrong-audience",
    maps_to=(fw.NHI9, fw.IA_13_2),
)
SCOPE_LIMITS = _control(
    "scope-limits",
    summary="A token holds no scope beyond what its agent is registered for.",
    without_it="The token service grants whatever scope is asked for.",
    point="as.token",
    layer="scope",
    reason="scope-not-registered",
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
EXCHANGE_NARROWS = _control(
    "exchange-narrows",
    summary="A token exchanged for another holds no more than the one that it was made from.",
    without_it="An exchange grants whatever audience and scope it is asked for.",
    point="as.token",
    layer="exchange",
    reason="*-widened",
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
REVOCATION = _control(
    "revocation",
    summary="Retiring an agent ends its live tokens, and all that were made from them, at once.",
    without_it="Services check a token's signature and dates, and ask nobody whether it was "
    "revoked.",
    point="rs.token",
    layer="revocation",
    reason="*",
    maps_to=(fw.NHI1, fw.ASI10, fw.AC_3_8),
)
KEY_ROTATION = _control(
    "key-rotation",
    summary="When an agent's key is rotated the old one is withdrawn.",
    without_it="The new key is added to the old one, which stays good.",
    point="as.token",
    layer="client",
    reason="unknown-key",
    maps_to=(fw.NHI7, fw.NHI2, fw.IA_5),
)
CERTIFICATE_WITHDRAWAL = _control(
    "certificate-withdrawal",
    summary="A certificate whose agent was cut off, left, or got a new one is on its authority's "
    "revocation list, which every verifier asks.",
    without_it="The list is kept and nobody asks it: a certificate is good until it ends.",
    point="as.token",
    layer="client",
    reason="certificate-withdrawn",
    maps_to=(fw.NHI7, fw.NHI1, fw.IA_5),
)
CLOUD_TOKENS_APART = _control(
    "cloud-tokens-apart",
    summary="The token service makes tokens for our own services only: no cloud trusts it, and "
    "naming a cloud as the resource yields nothing.",
    without_it="The token service speaks for the clouds' issuer too: whoever has a token exchanges "
    "it for a cloud's.",
    point="as.token",
    layer="resource",
    reason="cloud-resource",
    maps_to=(fw.NHI9, fw.ASI03, fw.IA_13_2),
)

CONTROLS = (
    REGISTERED_AGENTS_ONLY,
    PRIVATE_KEY_JWT,
    SHORT_TOKENS,
    SENDER_CONSTRAINED,
    CERTIFICATE_BOUND,
    AUDIENCE_RESTRICTED,
    SCOPE_LIMITS,
    EXCHANGE_NARROWS,
    REVOCATION,
    KEY_ROTATION,
    CERTIFICATE_WITHDRAWAL,
    CLOUD_TOKENS_APART,
)
"""All of them, in the order in which they are listed."""
