"""What no agent may reach: the platform's own secrets, and the service user that reads one."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra import documents, names


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformAssetsArgs:
    """Where the platform lives."""

    place: documents.Place


class PlatformAssets(pulumi.ComponentResource):
    """Two empty secrets, and who needs them.

    The backup user, who has no access key, and the role of the function that signs releases.
    """

    signing_key_arn: pulumi.Output[str]
    backup_key_arn: pulumi.Output[str]
    backup_user: pulumi.Output[str]
    release_role_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: PlatformAssetsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the secrets and the user."""
        super().__init__("iamrange:aws:PlatformAssets", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        signing_key = aws.secretsmanager.Secret(
            "platform-signing-key",
            name=names.SIGNING_KEY_SECRET,
            description="Signs what the platform releases",
            recovery_window_in_days=0,
            opts=child,
        )
        backup_key = aws.secretsmanager.Secret(
            "platform-backup-key",
            name=names.BACKUP_KEY_SECRET,
            description="Opens the backups",
            recovery_window_in_days=0,
            opts=child,
        )
        user = aws.iam.User(
            "backup",
            name=names.BACKUP_USER,
            path=names.SERVICE_PATH,
            # a key made behind Pulumi's back would otherwise keep the user from being deleted
            force_destroy=True,
            opts=child,
        )
        aws.iam.UserPolicy(
            "backup",
            name="backup",
            user=user.name,
            policy=documents.read_secret(args.place, names.BACKUP_KEY_SECRET).to_json(),
            opts=child,
        )
        release = aws.iam.Role(
            names.RELEASE_ROLE,
            name=names.RELEASE_ROLE,
            path=names.PLATFORM_PATH,
            description="Signs what the platform releases, as a function",
            assume_role_policy=documents.service_trust(documents.LAMBDA).to_json(),
            max_session_duration=3600,
            opts=child,
        )
        aws.iam.RolePolicy(
            names.RELEASE_ROLE,
            name="release",
            role=release.name,
            policy=documents.read_secret(args.place, names.SIGNING_KEY_SECRET).to_json(),
            opts=child,
        )
        self.signing_key_arn = signing_key.arn
        self.backup_key_arn = backup_key.arn
        self.backup_user = user.name
        self.release_role_arn = release.arn
        self.register_outputs(
            {
                "signing_key_arn": self.signing_key_arn,
                "backup_key_arn": self.backup_key_arn,
                "backup_user": self.backup_user,
                "release_role_arn": self.release_role_arn,
            }
        )
