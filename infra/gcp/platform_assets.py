"""What no agent may reach: the backup account, and the secret that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
import pulumi_gcp as gcp

from infra import names
from infra.gcp.agent_account import READ_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

MANAGE_KEYS = "roles/iam.serviceAccountKeyAdmin"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAssetsArgs:
    """Who looks after the backup account's keys, by the part that they play."""

    key_administrators: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


class PlatformAssets(pulumi.ComponentResource):
    """A service account without keys, and the one secret that it may read."""

    backup_account: pulumi.Output[str]
    backup_account_number: pulumi.Output[str]
    backup_secret: pulumi.Output[str]

    def __init__(
        self, name: str, args: PlatformAssetsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the account, the secret and who may do what with them."""
        super().__init__("iamrange:gcp:PlatformAssets", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = gcp.serviceaccount.Account(
            "backup",
            account_id=names.GCP_BACKUP_ACCOUNT,
            display_name="backup",
            description="Reads the key that opens the backups.",
            opts=child,
        )
        secret = gcp.secretmanager.Secret(
            "platform-backup-key",
            secret_id=names.GCP_BACKUP_SECRET,
            replication=gcp.secretmanager.SecretReplicationArgs(
                auto=gcp.secretmanager.SecretReplicationAutoArgs()
            ),
            opts=child,
        )
        gcp.secretmanager.SecretIamMember(
            "backup-secret",
            secret_id=secret.secret_id,
            role=READ_SECRET,
            member=account.member,
            opts=child,
        )
        for part, member in args.key_administrators.items():
            gcp.serviceaccount.IAMMember(
                f"backup-keys-{part}",
                service_account_id=account.name,
                role=MANAGE_KEYS,
                member=member,
                opts=child,
            )
        self.backup_account = account.email
        self.backup_account_number = account.unique_id
        self.backup_secret = secret.secret_id
        self.register_outputs(
            {"backup_account": self.backup_account, "backup_secret": self.backup_secret}
        )
