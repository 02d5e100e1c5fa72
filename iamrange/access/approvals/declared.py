"""A call as the gateway would see it: canonical, and on a declared route; or refused."""

from __future__ import annotations

from typing import Final

from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.approvals.reasons import Reason
from iamrange.access.approvals.summary import DeclaredCall
from iamrange.access.canonical import CanonicalRefusal, canonical
from iamrange.access.routes import SERVICE_OF_HOST, RouteRefusal, match

_SCHEME: Final = "https://"


def describe(method: str, url: str) -> DeclaredCall | ApprovalRefusal:
    """Return the declared call of a method and an https URL.

    It goes through the gateway's own gate, so that what is approved is what will be presented.
    """
    if not url.startswith(_SCHEME):
        return ApprovalRefusal(Reason.MALFORMED, "url expected https://")
    authority, slash, rest = url.removeprefix(_SCHEME).partition("/")
    target = canonical(method, [authority], f"{slash}{rest}")
    if isinstance(target, CanonicalRefusal):
        return ApprovalRefusal(Reason.MALFORMED, target.reason)
    service = SERVICE_OF_HOST.get(target.host)
    if service is None:
        return ApprovalRefusal(Reason.NO_ROUTE, "no service has this host")
    matched = match(service, target.method, target.path)
    if isinstance(matched, RouteRefusal):
        return ApprovalRefusal(Reason.NO_ROUTE, matched.reason)
    route = matched.route
    return DeclaredCall(
        method=target.method,
        url=target.url,
        service=service,
        action=route.action.value,
        type=route.type,
        classification=route.classification.value,
        environment=route.environment,
        high_impact=route.high_impact,
        parameters=matched.parameters,
    )
