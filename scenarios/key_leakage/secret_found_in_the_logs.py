"""Another agent's AWS session, found in what a service logged of a call, and used."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import oauth, searching, service_workloads, workloads


def attack(foothold: Taken) -> Loot:
    """Read the log as the agent that may, and use each AWS session that a line has."""
    log = foothold.knows["victim.service"] + service_workloads.ENTRIES
    text = oauth.read_record(log, auth=oauth.taken_token(foothold))
    useless = []
    for session in searching.aws_sessions_in(text):
        if not searching.is_aws_secret(session.secret_access_key):
            useless.append(session.secret_access_key)
            continue
        secret = foothold.knows["target.aws_secret_arn"]
        return Loot((workloads.read_aws_secret(workloads.aws_session(session), secret),))
    return Loot(tuple(useless))


SCENARIO = Scenario(
    claim="who may read the services' log finds no credential of another agent in it",
    blocked_by=(secrets_controls.REDACTION,),
    foothold=Foothold(Part.LOG_WRITER, Material.LOG_READER, taken_from="memory"),
    asset=Asset(AssetKind.AWS_SECRET, Part.DEPLOY_BOT),
    knows=("victim.service", "target.aws_secret_arn"),
    legitimate=service_workloads.DEBUGS_BY_THE_LOG,
    attack=attack,
    bystander=Part.DATA_ANALYST,
    maps_to=(fw.NHI2, fw.T1552_001, fw.IA_5_7),
    lesson="A log is read by more people than the secret in it was meant for, and for longer.",
)
