"""The legitimate work that agents do with our own services: a token, and a read with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.core.scenario import AssetKind, Work, Workload
from scenarios import oauth

if TYPE_CHECKING:
    from collections.abc import Mapping


def _read_records(facts: Mapping[str, str]) -> Work:
    """Prove itself with the own key, have a token bound to a fresh one, read with both.

    Who knows which scope the work needs asks for that one alone.
    """
    token = (
        oauth.Own.from_home()
        .client()
        .client_credentials(scope=facts.get("own.service_scope"), resource=facts["own.service"])
    )
    url = facts["own.service"] + oauth.RECORD
    answer = oauth.read(url, auth=token)
    return Work(
        str(answer.json()["value"]),
        {
            "access_token": token.access_token,
            "dpop_key": oauth.private_jwk(token),
            "proof": str(answer.request.headers["DPoP"]),
            "method": "GET",
            "url": url,
        },
    )


def _read_records_over_mtls(facts: Mapping[str, str]) -> Work:
    """Prove itself with the own certificate, have a token bound to it, read with both."""
    own = oauth.Own.from_home()
    token = oauth.client_with_certificate(
        own.client_id, own.issuer, own.certificate()
    ).client_credentials(resource=facts["own.service"])
    nonce = oauth.read_record(
        facts["own.service"] + oauth.RECORD, auth=token, cert=own.certificate()
    )
    return Work(nonce, {"access_token": token.access_token})


def _deploy_with_approvals(facts: Mapping[str, str]) -> Work:
    """Deploy to production as a human has agreed, have the next one approved, and read."""
    client = oauth.Own.from_home().client()
    asking = client.client_credentials(resource=facts["services.approvals"])
    token = client.client_credentials(resource=facts["own.service"])
    url = facts["services.production-deployment"]
    approved = oauth.approval(facts["services.approvals"], asking, url, {"version": "2.4.0"})
    oauth.do(url, auth=token, body={"version": "2.4.0"}, approval_id=approved)
    waiting = oauth.approval(facts["services.approvals"], asking, url, {"version": "2.4.1"})
    nonce = oauth.read_record(facts["own.service"] + oauth.RECORD, auth=token)
    return Work(
        nonce,
        {
            "access_token": token.access_token,
            "dpop_key": oauth.private_jwk(token),
            "approval_id": waiting,
            "used_approval_id": approved,
        },
    )


READS_SERVICE_RECORDS = Workload(
    run=_read_records,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service",),
)
READS_WITH_A_NARROW_TOKEN = Workload(
    run=_read_records,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service", "own.service_scope"),
)
READS_SERVICE_RECORDS_OVER_MTLS = Workload(
    run=_read_records_over_mtls,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service",),
)
DEPLOYS_WITH_APPROVALS = Workload(
    run=_deploy_with_approvals,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service", "services.approvals", "services.production-deployment"),
    approvals=2,
)
