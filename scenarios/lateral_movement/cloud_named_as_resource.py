"""A token for a cloud, asked of the token service with nothing but a service certificate."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core import identity_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import oauth, service_workloads, workloads


def attack(foothold: Taken) -> Loot:
    """Name AWS as the resource, assume the victim's role with the answer, read its secret.

    The certificate alone is no key to the clouds' own issuer.
    """
    knows, taken = foothold.knows, foothold.oauth
    token = oauth.token_over_mtls(
        knows["victim.spiffe_id"],
        knows["identity.issuer"],
        oauth.written(taken["certificate"], taken["certificate_key"]),
        resource=knows["aws.audience"],
    )
    session = workloads.assume_with_token(
        token, knows["victim.aws_role_arn"], name="from-the-token-service"
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), knows["victim.aws_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="no token for a cloud can be had by naming the cloud as a resource",
    blocked_by=(identity_controls.CLOUD_TOKENS_APART,),
    foothold=Foothold(Part.PAYMENTS_AGENT, Material.CERTIFICATE, taken_from="a sidecar's files"),
    asset=Asset(AssetKind.AWS_SECRET, Part.PAYMENTS_AGENT),
    knows=(
        "victim.spiffe_id",
        "identity.issuer",
        "aws.audience",
        "victim.aws_role_arn",
        "victim.aws_secret_arn",
    ),
    legitimate=service_workloads.READS_SERVICE_RECORDS_OVER_MTLS,
    attack=attack,
    maps_to=(fw.NHI9, fw.ASI03, fw.T1550_001),
    lesson="One issuer for everything makes every one of its tokens a step towards everything.",
)
