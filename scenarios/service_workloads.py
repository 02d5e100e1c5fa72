"""The legitimate work that agents do with our own services: a token, and a read with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iamrange.core.scenario import AssetKind, Work, Workload
from scenarios import oauth, workloads

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRIES = "/entries/latest"
"""Where the `logs` service has what all services logged of their calls."""


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


def _debug_by_the_log(facts: Mapping[str, str]) -> Work:
    """Read, and find in the services' log that one has: who, what, and by which request.

    Raises:
        ValueError: the log does not say it.
    """
    own = oauth.Own.from_home()
    token = own.client().client_credentials(resource=facts["own.service"])
    nonce = oauth.read_record(facts["own.service"] + oauth.RECORD, auth=token)
    text = oauth.read_record(facts["own.service"] + ENTRIES, auth=token)
    lines = [json.loads(line) for line in text.splitlines()]
    mine = [one for one in lines if (one["agent"], one["path"]) == (own.client_id, oauth.RECORD)]
    if not mine or not all(one["request_id"] and one["status"] for one in mine):
        msg = "the services' log does not tell of the agent's own call"
        raise ValueError(msg)
    return Work(nonce, {"access_token": token.access_token, "dpop_key": oauth.private_jwk(token)})


def _deploy_with_own_session(facts: Mapping[str, str]) -> Work:
    """Deploy twice to staging what is to work with the agent's own AWS session, and read."""
    session = workloads.one_session()
    settings = {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }
    token = oauth.Own.from_home().client().client_credentials(resource=facts["own.service"])
    for part in ("web", "worker"):
        body = {"version": "2.4.0", "part": part, "settings": settings}
        oauth.do(facts["services.staging-deployment"], auth=token, body=body)
    nonce = oauth.read_record(facts["own.service"] + oauth.RECORD, auth=token)
    return Work(nonce, workloads.in_memory(session))


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
DEBUGS_BY_THE_LOG = Workload(
    run=_debug_by_the_log,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service",),
)
DEPLOYS_WITH_ITS_OWN_SESSION = Workload(
    run=_deploy_with_own_session,
    asset_kind=AssetKind.SERVICE_RECORDS,
    knows=("own.service", "services.staging-deployment"),
)
