"""What the deciders read of IAM: an adapter over the embedded emulator's own memory.

- Everything is read afresh at each request: a policy taken away counts at once.
- Compiled policies are cached by the document's text, so that a fresh read costs a dict lookup.
- A stored document that does not compile is an exception (the range broke), never an allow.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends

from iamrange.clouds.aws.model import (
    AccessKeyRecord,
    OidcProviderRecord,
    RoleRecord,
    UserRecord,
)
from iamrange.clouds.aws.policy import PolicyKind, compile_policy
from iamrange.clouds.aws.principal_ids import principals_named, with_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.clouds.aws.policy import CompiledPolicy

_ENTITY = re.compile(r"^arn:aws:iam::(\d{12}):(user|role)/(?:.*/)?([^/]+)$")
_MANAGED = re.compile(r"^arn:aws:iam::(\d{12}|aws):policy/.+$")
ONE_HOUR = 3600
AWS_MANAGED = "arn:aws:iam::aws:policy/"
ADMINISTRATOR = (
    '{"Version": "2012-10-17", "Statement": '
    '[{"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)


@functools.lru_cache(maxsize=4096)
def compiled(document: str, kind: PolicyKind, name: str) -> CompiledPolicy:
    """Compile a policy once for each text, kind and name.

    Raises:
        MalformedPolicy: the document is no policy of that kind.
    """
    return compile_policy(document, kind=kind, name=name)


def _tags(found: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found or ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What permissions on an IAM entity turn on."""

    arn: str
    tags: Mapping[str, str]
    boundary: str | None


class MotoIamStore:
    """IAM as the emulator of this process holds it."""

    def __init__(self) -> None:
        """Start with no account."""
        self._accounts: set[str] = set()
        self._role_ids: dict[tuple[str, str], str] = {}
        self._mfa_steps: dict[str, int] = {}

    def add_account(self, account: str) -> None:
        """Make an account known: keys and roles are looked up in known accounts only."""
        self._accounts.add(account)

    def accounts(self) -> frozenset[str]:
        """Return every account of this cloud."""
        return frozenset(self._accounts)

    def create_administrator(self, account: str, name: str) -> tuple[str, str]:
        """Make a user who may do everything, and return its access key and secret."""
        backend = self._backend(account)
        backend.create_user("us-east-1", name)
        user = backend.users[name]
        user.policies["AdministratorAccess"] = ADMINISTRATOR
        key = backend.create_access_key(name)
        return key.access_key_id, key.secret_access_key

    def create_access_role(self, account: str, name: str, trusted: str) -> None:
        """Make a role that may do everything, for another account's administrators."""
        backend = self._backend(account)
        if any(role.name == name for role in backend.roles.values()):
            return
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{trusted}:root"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = backend.create_role(
            role_name=name,
            assume_role_policy_document=json.dumps(trust),
            path="/",
            permissions_boundary=None,
            description="",
            tags={},
            max_session_duration=ONE_HOUR,
        )
        role.policies["AdministratorAccess"] = ADMINISTRATOR

    def _backend(self, account: str) -> Any:  # noqa: ANN401  # the emulator publishes no types
        return iam_backends[account]["aws"] if account in self._accounts else None

    def access_key(self, access_key_id: str) -> AccessKeyRecord | None:
        """Return the long-term key, active or not; None when its user is gone."""
        for account in self._accounts:
            backend = self._backend(account)
            key = backend.access_keys.get(access_key_id)
            if key is None:
                continue
            user = backend.users.get(key.user_name)
            if user is None or key not in user.access_keys:
                # The emulator leaves the old name in the keys of a user that was renamed.
                user = next((u for u in backend.users.values() if key in u.access_keys), None)
            if user is None:
                return None
            return AccessKeyRecord(
                access_key_id=access_key_id,
                secret_access_key=key.secret_access_key,
                account=account,
                user_name=user.name,
                active=key.status == "Active",
            )
        return None

    def user(self, account: str, name: str) -> UserRecord | None:
        """Return the user."""
        backend = self._backend(account)
        user = backend.users.get(name) if backend else None
        if user is None:
            return None
        return UserRecord(
            account=account,
            name=user.name,
            arn=user.arn,
            user_id=user.id,
            tags=_tags(user.tags),
            mfa_serials=frozenset(user.mfa_devices),
        )

    def mfa_seed(self, serial: str) -> str | None:
        """Return the seed (base32) of a virtual MFA device; None of any other device."""
        account = serial.split(":")[4] if serial.count(":") >= 5 else ""  # noqa: PLR2004 - an ARN's fields
        backend = self._backend(account)
        device = backend.virtual_mfa_devices.get(serial) if backend else None
        return str(device.base32_string_seed) if device is not None else None

    def use_mfa_step(self, serial: str, step: int) -> bool:
        """Use up a device's code of a time step; tell whether it was still unused."""
        if step <= self._mfa_steps.get(serial, 0):
            return False
        self._mfa_steps[serial] = step
        return True

    def role(self, account: str, name: str) -> RoleRecord | None:
        """Return the role; `name` is without its path."""
        role = self._role(account, name)
        return _role_record(account, role, self._trust(role)) if role is not None else None

    def _role(self, account: str, name: str) -> Any:  # noqa: ANN401  # the emulator has no types
        """Return the emulator's role; where it was found last is looked first, among thousands."""
        backend = self._backend(account)
        if backend is None:
            return None
        found = backend.roles.get(self._role_ids.get((account, name), ""))
        if found is None or found.name != name:
            self._role_ids.pop((account, name), None)
            found = next((role for role in backend.roles.values() if role.name == name), None)
            if found is not None:
                self._role_ids[account, name] = found.id
        return found

    def remember_principals(self, account: str, name: str) -> None:
        """Keep the ids of the users and roles that a trust policy just written names."""
        backend = self._backend(account)
        for role in backend.roles.values() if backend else ():
            if role.name == name:
                named = principals_named(role.assume_role_policy_document)
                role.trusted_ids = {
                    arn: self.unique_id(arn) for arn in named if self.unique_id(arn)
                }

    def _trust(self, role: Any) -> str:  # noqa: ANN401  # the emulator publishes no types
        document = str(role.assume_role_policy_document)
        kept: dict[str, str] = getattr(role, "trusted_ids", {})
        gone = {arn: ident for arn, ident in kept.items() if self.unique_id(arn) != ident}
        return with_ids(document, gone) if gone else document

    def unique_id(self, arn: str) -> str | None:
        """Return the unique id of the user or role of that exact ARN; None if it is not there."""
        _, entity = self._entity(arn)
        return str(entity.id) if entity is not None else None

    def role_by_arn(self, arn: str) -> RoleRecord | None:
        """Return the role of that exact ARN, path included."""
        found = _ENTITY.match(arn)
        if found is None or found[2] != "role":
            return None
        role = self.role(found[1], found[3])
        return role if role is not None and role.arn == arn else None

    def oidc_provider(self, account: str, url: str) -> OidcProviderRecord | None:
        """Return the account's provider for an issuer; `url` with or without https://."""
        backend = self._backend(account)
        wanted = url.removeprefix("https://")
        for provider in backend.open_id_providers.values() if backend else ():
            if provider.url == wanted:
                return OidcProviderRecord(
                    account=account,
                    arn=provider.arn,
                    url=provider.url,
                    client_ids=tuple(provider.client_id_list or ()),
                    thumbprints=tuple(provider.thumbprint_list or ()),
                )
        return None

    def set_client_id(self, account: str, arn: str, client_id: str, *, registered: bool) -> bool:
        """Register a client id at a provider, or withdraw it; tell whether there is the provider.

        Both may be repeated, as in IAM.
        """
        backend = self._backend(account)
        provider = backend.open_id_providers.get(arn) if backend else None
        if provider is None:
            return False
        others = [known for known in provider.client_id_list or () if known != client_id]
        provider.client_id_list = [*others, client_id] if registered else others
        return True

    def _entity(self, arn: str) -> tuple[Any, Any]:
        found = _ENTITY.match(arn)
        backend = self._backend(found[1]) if found else None
        if found is None or backend is None:
            return None, None
        kind, name = found[2], found[3]
        entity = backend.users.get(name) if kind == "user" else self._role(found[1], name)
        return (backend, entity) if entity is not None and entity.arn == arn else (None, None)

    def identity_policies(self, principal_arn: str) -> tuple[CompiledPolicy, ...]:
        """Return the inline, attached and group policies of a user or role ARN."""
        backend, entity = self._entity(principal_arn)
        if entity is None:
            return ()
        policies = list(_of(entity, "inline"))
        if ":user/" in principal_arn:
            for group in backend.groups.values():
                if any(user.name == entity.name for user in group.users):
                    policies += _of(group, f"group:{group.name}")
        return tuple(policies)

    def group_policies(self, account: str, name: str) -> tuple[CompiledPolicy, ...]:
        """Return the inline and attached policies of a group."""
        backend = self._backend(account)
        group = backend.groups.get(name) if backend else None
        return tuple(_of(group, f"group:{name}")) if group is not None else ()

    def boundary(self, principal_arn: str) -> CompiledPolicy | None:
        """Return the permissions boundary of a user or role ARN.

        Raises:
            LookupError: a boundary is set to a policy that is not there any more.
        """
        _, entity = self._entity(principal_arn)
        arn = boundary_arn(entity)
        if arn is None:
            return None
        document = self.managed_policy(arn)
        if document is None:
            raise LookupError(f"boundary {arn} of {principal_arn} is not there")
        return compiled(document, PolicyKind.BOUNDARY, arn)

    def managed_policy(self, arn: str) -> str | None:
        """Return the default version's document of a managed policy."""
        found = _MANAGED.match(arn)
        if found is None:
            return None
        if found[1] == "aws":
            policy = aws_managed(arn, next(iter(self._accounts)))
        else:
            backend = self._backend(found[1])
            policy = backend.managed_policies.get(arn) if backend else None
        return _default_version(policy) if policy is not None else None

    def offer_aws_managed(self, account: str, arn: str) -> None:
        """Let the emulator know one of AWS's own policies, so that it can be attached."""
        backend = self._backend(account)
        if arn.startswith(AWS_MANAGED) and arn not in backend.managed_policies:
            policy = aws_managed(arn, account)
            if policy is not None:
                backend.managed_policies[arn] = policy

    def entity(self, account: str, kind: str, name: str) -> Entity | None:
        """Return the user, role, group or instance profile of that name."""
        backend = self._backend(account)
        if backend is None:
            return None
        kept = {
            "user": backend.users,
            "role": backend.roles,
            "group": backend.groups,
            "instance-profile": backend.instance_profiles,
        }[kind]
        found = next((e for e in kept.values() if e.name == name), None)
        if found is None:
            return None
        tags = getattr(found, "tags", None)
        tags = tags.values() if isinstance(tags, dict) else tags
        return Entity(arn=found.arn, tags=_tags(tags), boundary=boundary_arn(found))

    def profile_role(self, account: str, name: str) -> str | None:
        """Return the ARN of the role in an instance profile."""
        backend = self._backend(account)
        for profile in backend.instance_profiles.values() if backend else ():
            if profile.name == name:
                return next((str(role.arn) for role in profile.roles), None)
        return None

    def managed_tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a customer managed policy."""
        found = _MANAGED.match(arn)
        backend = self._backend(found[1]) if found and found[1] != "aws" else None
        policy = backend.managed_policies.get(arn) if backend else None
        return _tags(policy.tags.values()) if policy is not None else {}

    def set_user_boundary(self, account: str, name: str, arn: str | None) -> bool:
        """Set or remove a user's boundary, which the emulator knows for roles only."""
        user = self._backend(account).users.get(name)
        if user is None:
            return False
        user.permissions_boundary = arn and {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": arn,
        }
        return True


@functools.lru_cache(maxsize=256)
def aws_managed(arn: str, account: str) -> Any:  # noqa: ANN401  # the emulator has no types
    """Read one of AWS's own policies out of the emulator's text, without parsing all of it."""
    name = arn.rsplit("/", 1)[-1]
    start = aws_managed_policies_data.find(f'\n "{name}":{{')
    if start < 0:
        return None
    about, _ = json.JSONDecoder().raw_decode(aws_managed_policies_data, start + len(name) + 5)
    policy = AWSManagedPolicy.from_data(name, account, "us-east-1", about)
    return policy if policy.arn == arn else None


def _role_record(account: str, role: Any, trust: str) -> RoleRecord:  # noqa: ANN401  # no types published
    return RoleRecord(
        account=account,
        name=role.name,
        arn=role.arn,
        role_id=role.id,
        trust_document=trust,
        max_session_duration=int(role.max_session_duration or ONE_HOUR),
        tags=_tags(role.tags.values() if isinstance(role.tags, dict) else role.tags),
    )


def boundary_arn(entity: Any) -> str | None:  # noqa: ANN401  # the emulator publishes no types
    """Return the ARN of an entity's boundary; users carry it where `services.iam` put it."""
    if entity is None:
        return None
    stated = getattr(entity, "permissions_boundary", None)
    return stated["PermissionsBoundaryArn"] if stated else None


def _default_version(policy: Any) -> str:  # noqa: ANN401  # the emulator publishes no types
    for version in policy.versions:
        if version.version_id == policy.default_version_id:
            return str(version.document)
    raise LookupError(f"policy {policy.arn} has no default version")


def _of(entity: Any, prefix: str) -> Iterable[CompiledPolicy]:  # noqa: ANN401  # no types
    for name, document in entity.policies.items():
        yield compiled(document, PolicyKind.IDENTITY, f"{prefix}:{name}")
    for arn, policy in entity.managed_policies.items():
        yield compiled(_default_version(policy), PolicyKind.IDENTITY, arn)
